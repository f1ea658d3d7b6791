import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from '../policies/environments-in.ts';
import type { DiscoveredRecord } from './record.ts';
import { type InventoryTables, toDiscovered } from './rows.ts';

/** What probing found in these environments, by address. */
export async function listDiscovered(queries: Queries, scope: Scope): Promise<readonly DiscoveredRecord[]> {
  const rows = await tables(queries)
    .selectFrom('discovered')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('address')
    .execute();
  return rows.map(toDiscovered);
}

/** Keeps when it was first seen. */
export async function upsertDiscovered(queries: Queries, record: DiscoveredRecord): Promise<void> {
  const { environment, region, address, protocol, lastSeenAt } = record;
  const facts = JSON.stringify(record.facts);
  await tables(queries)
    .insertInto('discovered')
    .values({ environment, region, address, protocol, facts, first_seen_at: record.firstSeenAt, last_seen_at: lastSeenAt })
    .onConflict((conflict) =>
      conflict.columns(['environment', 'address']).doUpdateSet({ region, protocol, facts, last_seen_at: lastSeenAt }),
    )
    .execute();
}

const tables = (queries: Queries) => queries.withTables<InventoryTables>();
