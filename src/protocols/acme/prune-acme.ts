import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { pruneAuthorizations } from './authorization-store.ts';
import { pruneArrivals } from './limit-store.ts';
import { pruneOrders } from './order-store.ts';

/** Deletes, in small pieces, what nobody will ask for again: ended authorizations, orders without a certificate, full allowances. */
export async function pruneAcme({ database }: { readonly database: AuditedDatabase }, now: Instant): Promise<void> {
  await database.commit(async ({ queries }) => {
    await pruneAuthorizations(queries, now - KEPT_MS, PIECE);
    await pruneOrders(queries, now - KEPT_MS, PIECE);
    await pruneArrivals(queries, now, PIECE);
  });
}

/** A client that comes back after a while still learns what became of its order. */
const KEPT_MS = 7 * DAY_MS;
const PIECE = 1_000;
