import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** Arrival times by key; keys that were never seen, or long ago, are absent. */
export async function readArrivals(queries: Queries, names: readonly string[]): Promise<ReadonlyMap<string, Instant>> {
  const rows = await tables(queries).selectFrom('acme_limits').selectAll().where('name', 'in', names).execute();
  return new Map(rows.map(({ name, arrival_at: arrivalAt }) => [name, arrivalAt]));
}

export async function writeArrival(queries: Queries, name: string, arrivalAt: Instant): Promise<void> {
  await tables(queries)
    .insertInto('acme_limits')
    .values({ name, arrival_at: arrivalAt })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ arrival_at: arrivalAt }))
    .execute();
}

/** An arrival in the past says nothing more than none. */
export async function pruneArrivals(queries: Queries, now: Instant, limit: number): Promise<void> {
  await tables(queries)
    .deleteFrom('acme_limits')
    .where('name', 'in', (inner) => inner.selectFrom('acme_limits').select('name').where('arrival_at', '<', now).limit(limit))
    .execute();
}

const tables = (queries: Queries) => queries.withTables<{ acme_limits: { name: string; arrival_at: number } }>();
