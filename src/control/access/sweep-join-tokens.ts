import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { deleteEndedJoinTokens } from './join-token-store.ts';

/** Forgets join tokens that ended long ago, used or not: nobody joins by them, and the log keeps who did. */
export async function sweepJoinTokens({ database }: { readonly database: AuditedDatabase }, now: Instant): Promise<void> {
  await database.commit(({ queries }) => deleteEndedJoinTokens(queries, now - KEPT_FOR_MS));
}

/** As other one-time grants are kept, so that whoever asks why a device did not come finds it among the rows for as long. */
const KEPT_FOR_MS = 90 * DAY_MS;
