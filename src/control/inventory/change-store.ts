import type { Queries } from '../../platform/db/database.ts';
import type { EndpointRecord, ExceptionRecord, PathRecord, ProxyRecord, ServiceRecord } from './record.ts';
import { fromEndpoint, fromException, fromPath, fromProxy, fromService, type InventoryTables } from './rows.ts';

/** The writing half of `store.ts`: each puts the record in the place of the one with its id. */
export async function upsertService(queries: Queries, record: ServiceRecord): Promise<void> {
  const row = fromService(record);
  await tables(queries)
    .insertInto('services')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export async function upsertEndpoint(queries: Queries, record: EndpointRecord): Promise<void> {
  const row = fromEndpoint(record);
  await tables(queries)
    .insertInto('endpoints')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export async function upsertPath(queries: Queries, record: PathRecord): Promise<void> {
  const row = fromPath(record);
  await tables(queries)
    .insertInto('paths')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export async function upsertProxy(queries: Queries, record: ProxyRecord): Promise<void> {
  const row = fromProxy(record);
  await tables(queries)
    .insertInto('declared_proxies')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export async function upsertException(queries: Queries, record: ExceptionRecord): Promise<void> {
  const row = fromException(record);
  await tables(queries)
    .insertInto('exceptions')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

/** Removes one row by its id. What refers to it was checked when the removal was planned. */
export async function deleteRecord(
  queries: Queries,
  table: 'services' | 'endpoints' | 'paths' | 'declared_proxies' | 'exceptions',
  id: string,
): Promise<void> {
  await tables(queries).deleteFrom(table).where('id', '=', id).execute();
}

const tables = (queries: Queries) => queries.withTables<InventoryTables>();
