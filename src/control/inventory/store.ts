import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from '../policies/environments-in.ts';
import { type InventoryTables, toEndpoint, toException, toPath, toProxy, toService } from './rows.ts';
import type { EndpointRecord, ExceptionRecord, PathRecord, ProxyRecord, ServiceRecord } from './record.ts';

/** The services of these environments, by environment and name; so are all lists here. */
export async function listServices(queries: Queries, scope: Scope): Promise<readonly ServiceRecord[]> {
  const rows = await tables(queries)
    .selectFrom('services')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toService);
}

export async function listEndpoints(queries: Queries, scope: Scope): Promise<readonly EndpointRecord[]> {
  const rows = await tables(queries)
    .selectFrom('endpoints')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toEndpoint);
}

/** By environment and id: ids rise with time. */
export async function listPaths(queries: Queries, scope: Scope): Promise<readonly PathRecord[]> {
  const rows = await tables(queries)
    .selectFrom('paths')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('id')
    .execute();
  return rows.map(toPath);
}

/** The proxies as declared, joined or not. */
export async function listDeclaredProxies(queries: Queries, scope: Scope): Promise<readonly ProxyRecord[]> {
  const rows = await tables(queries)
    .selectFrom('declared_proxies')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toProxy);
}

export async function findDeclaredProxy(queries: Queries, environment: string, name: string): Promise<ProxyRecord | null> {
  const row = await tables(queries)
    .selectFrom('declared_proxies')
    .selectAll()
    .where('environment', '=', environment)
    .where('name', '=', name)
    .executeTakeFirst();
  return row === undefined ? null : toProxy(row);
}

/** Those of these ids that are declared. */
export async function findDeclaredProxies(queries: Queries, ids: readonly EntityId<'proxy'>[]): Promise<readonly ProxyRecord[]> {
  if (ids.length === 0) return [];
  const rows = await tables(queries)
    .selectFrom('declared_proxies')
    .selectAll()
    .where('id', 'in', [...ids])
    .execute();
  return rows.map(toProxy);
}

/** The ids of all that are declared, or this one if it is. */
export async function listDeclaredProxyIds(queries: Queries, only?: EntityId<'proxy'>): Promise<readonly EntityId<'proxy'>[]> {
  const rows = await tables(queries)
    .selectFrom('declared_proxies')
    .select('id')
    .$if(only !== undefined, (query) => query.where('id', '=', only!))
    .execute();
  return rows.map(({ id }) => id as EntityId<'proxy'>);
}

/** Ended ones too: who lists them says so. */
export async function listExceptions(queries: Queries, scope: Scope): Promise<readonly ExceptionRecord[]> {
  const rows = await tables(queries)
    .selectFrom('exceptions')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toException);
}

/** Those that are over by now, and whose end nobody wrote down. */
export async function listUnwrittenEnds(queries: Queries, now: Instant): Promise<readonly ExceptionRecord[]> {
  const rows = await tables(queries)
    .selectFrom('exceptions')
    .selectAll()
    .where('ended_at', 'is', null)
    .where('until_at', '<=', now)
    .orderBy('until_at')
    .limit(MAXIMUM_ENDS)
    .execute();
  return rows.map(toException);
}

export async function markEnded(queries: Queries, ids: readonly EntityId<'exception'>[], now: Instant): Promise<void> {
  await tables(queries)
    .updateTable('exceptions')
    .set({ ended_at: now })
    .where('id', 'in', [...ids])
    .execute();
}

/** The path's place, for a check of who may change it. */
export async function findPath(queries: Queries, id: EntityId<'path'>): Promise<PathRecord | null> {
  const row = await tables(queries).selectFrom('paths').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toPath(row);
}

export async function findServiceBySpiffeId(queries: Queries, spiffeId: SpiffeId): Promise<ServiceRecord | null> {
  const row = await tables(queries).selectFrom('services').selectAll().where('spiffe_id', '=', spiffeId).executeTakeFirst();
  return row === undefined ? null : toService(row);
}

/** Counts the changes of inventory and policies; what is derived from them remembers the number that it was made from. */
export async function readInventoryRevision(queries: Queries): Promise<number> {
  const row = await tables(queries).selectFrom('inventory_revision').select('value').executeTakeFirstOrThrow();
  return row.value;
}

export async function advanceInventoryRevision(queries: Queries): Promise<void> {
  await tables(queries)
    .updateTable('inventory_revision')
    .set((set) => ({ value: set('value', '+', 1) }))
    .execute();
}

/** Written down in one commit; what is left is in the next. */
const MAXIMUM_ENDS = 100;

const tables = (queries: Queries) => queries.withTables<InventoryTables>();
