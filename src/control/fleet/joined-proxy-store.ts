import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import type { ProxyRole } from '../inventory/record.ts';
import { environmentsIn } from '../policies/environments-in.ts';

/** A proxy that joined: one replica, with what it says about itself. */
export type JoinedProxy = {
  readonly id: EntityId<'proxy'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly spiffeId: SpiffeId;
  readonly role: ProxyRole;
  readonly version: string;
  readonly capabilities: readonly string[];
  readonly joinedAt: Instant;
  readonly lastSeenAt: Instant;
  readonly connected: boolean;
};

export async function listJoinedProxies(queries: Queries, scope: Scope): Promise<readonly JoinedProxy[]> {
  const rows = await tables(queries)
    .selectFrom('proxies')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toJoinedProxy);
}

export async function listJoinedProxyIds(queries: Queries): Promise<readonly EntityId<'proxy'>[]> {
  const rows = await tables(queries).selectFrom('proxies').select('id').execute();
  return rows.map(({ id }) => id as EntityId<'proxy'>);
}

export async function findJoinedProxy(queries: Queries, id: EntityId<'proxy'>): Promise<JoinedProxy | null> {
  const row = await tables(queries).selectFrom('proxies').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toJoinedProxy(row);
}

export async function deleteJoinedProxy(queries: Queries, id: EntityId<'proxy'>): Promise<void> {
  await tables(queries).deleteFrom('proxies').where('id', '=', id).execute();
}

/** A proxy that joins again keeps its row, and since when it is there. */
export async function upsertJoinedProxy(queries: Queries, proxy: JoinedProxy): Promise<void> {
  const values = {
    environment: proxy.environment,
    region: proxy.region,
    name: proxy.name,
    spiffe_id: proxy.spiffeId,
    role: proxy.role,
    version: proxy.version,
    capabilities: JSON.stringify(proxy.capabilities),
    last_seen_at: proxy.lastSeenAt,
  };
  await tables(queries)
    .insertInto('proxies')
    .values({ ...values, id: proxy.id, joined_at: proxy.joinedAt, connected: Number(proxy.connected) })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute();
}

/** False if no such proxy ever joined. */
export async function updateConnected(queries: Queries, id: EntityId<'proxy'>, connected: boolean, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('proxies')
    .set({ connected: Number(connected), last_seen_at: now })
    .where('id', '=', id)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** For the start of a server: no stream survived. */
export async function disconnectAll(queries: Queries): Promise<void> {
  await tables(queries).updateTable('proxies').set({ connected: 0 }).where('connected', '=', 1).execute();
}

type ProxyRow = {
  environment: string;
  region: string;
  id: string;
  name: string;
  spiffe_id: string;
  role: string;
  version: string;
  capabilities: string;
  joined_at: number;
  last_seen_at: number;
  connected: number;
};

const tables = (queries: Queries) => queries.withTables<{ proxies: ProxyRow }>();

function toJoinedProxy(row: ProxyRow): JoinedProxy {
  return {
    id: row.id as EntityId<'proxy'>,
    environment: row.environment,
    region: row.region,
    name: row.name,
    spiffeId: row.spiffe_id as SpiffeId,
    role: row.role as ProxyRole,
    version: row.version,
    capabilities: JSON.parse(row.capabilities) as string[],
    joinedAt: row.joined_at,
    lastSeenAt: row.last_seen_at,
    connected: row.connected !== 0,
  };
}
