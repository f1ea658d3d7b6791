import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareListQuery, prepareQuery, type Values } from '../../platform/db/prepared-query.ts';

/** Arrival times by key; keys that were never seen, or long ago, are absent. */
export async function readArrivals(queries: Queries, names: readonly string[]): Promise<ReadonlyMap<string, Instant>> {
  const rows = await selectArrivals(queries, names, {});
  return new Map(rows.map(({ name, arrival_at: arrivalAt }) => [name, arrivalAt]));
}

export async function writeArrival(queries: Queries, name: string, arrivalAt: Instant): Promise<void> {
  await upsertArrival(queries, { name, arrivalAt });
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

const upsertArrival = prepareQuery((queries, value: Values<{ name: string; arrivalAt: Instant }>) =>
  tables(queries)
    .insertInto('acme_limits')
    .values({ name: value('name'), arrival_at: value('arrivalAt') })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ arrival_at: value('arrivalAt') })),
);
