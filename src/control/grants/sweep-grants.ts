import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { deleteEndedGrants } from './store.ts';

/** Forgets what ended long ago, at whatever door; the log keeps what became of it. */
export async function sweepGrants({ database }: { readonly database: AuditedDatabase }, now: Instant): Promise<void> {
  await database.commit(({ queries }) => deleteEndedGrants(queries, now - KEPT_FOR_MS));
}

/** As long as any request waits for approval, so that a device that polls, or lost its answer, finds what became of it. */
const KEPT_FOR_MS = 90 * DAY_MS;
