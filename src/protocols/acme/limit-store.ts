import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareInsert, prepareListQuery } from '../../platform/db/prepared-query.ts';

/** Arrival times by key; keys that were never seen, or long ago, are absent. */
export async function readArrivals(queries: Queries, names: readonly string[]): Promise<ReadonlyMap<string, Instant>> {
  const rows = await selectArrivals(queries, names, {});
  return new Map(rows.map(({ name, arrival_at: arrivalAt }) => [name, arrivalAt]));
}

/** In the place of what was known of these keys. */
export async function writeArrivals(queries: Queries, arrivals: readonly (readonly [string, Instant])[]): Promise<void> {
  await upsertArrivals(
    queries,
    arrivals.map(([name, arrival_at]) => ({ name, arrival_at })),
  );
}

/** An arrival in the past says nothing more than none. */
export async function pruneArrivals(queries: Queries, now: Instant, limit: number): Promise<void> {
  await tables(queries)
    .deleteFrom('acme_limits')
    .where('name', 'in', (inner) => inner.selectFrom('acme_limits').select('name').where('arrival_at', '<', now).limit(limit))
    .execute();
}

const tables = (queries: Queries) => queries.withTables<{ acme_limits: { name: string; arrival_at: number } }>();

const selectArrivals = prepareListQuery((queries, names: readonly string[]) =>
  tables(queries).selectFrom('acme_limits').selectAll().where('name', 'in', names),
);

const upsertArrivals = prepareInsert<{ name: string; arrival_at: number }>('acme_limits', ['name', 'arrival_at'], { key: 'name' });
