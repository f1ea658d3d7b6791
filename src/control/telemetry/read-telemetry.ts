import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import {
  BUCKET_WIDTH_MS,
  COMPACT_WIDTH_MS,
  type CountRow,
  type DrillResultRow,
  type OpenRow,
  type RefusalRow,
  type SenderRow,
  type ServedRow,
  type TelemetryTables,
} from './store.ts';

/** All counts of one kind in a window, with the buckets of the first and the last. */
export type WindowRow = Pick<CountRow, 'endpoint_id' | 'side' | 'caller' | 'channel' | 'unit' | 'outcome' | 'reason' | 'exception'> & {
  readonly total: number;
  readonly first_at: Instant;
  readonly last_at: Instant;
};

/** Sums of these environments in `[from, to)`, in whole buckets: a bucket that is partly inside counts. One query, whatever the fleet's size. */
export async function readWindow(
  queries: Queries,
  { scope, from, to }: { readonly scope: Scope; readonly from: Instant; readonly to: Instant },
): Promise<readonly WindowRow[]> {
  const columns = ['endpoint_id', 'side', 'caller', 'channel', 'unit', 'outcome', 'reason', 'exception'] as const;
  return tables(queries)
    .selectFrom('telemetry_counts')
    .select([
      ...columns,
      sql<number>`cast(sum(count) as bigint)`.as('total'),
      sql<number>`min(bucket_at)`.as('first_at'),
      sql<number>`max(bucket_at + width_ms)`.as('last_at'),
    ])
    .$if(scope !== '*', (query) => query.where('environment', 'in', [...scope]))
    .where('bucket_at', '>', from - COMPACT_WIDTH_MS)
    .where('bucket_at', '<', to)
    .where(sql<boolean>`bucket_at + width_ms > ${from}`)
    .groupBy([...columns])
    .execute();
}

/** How much each exception let in since then, and when it last did. */
export async function readExceptedUse(
  queries: Queries,
  scope: Scope,
  from: Instant,
): Promise<readonly Pick<WindowRow, 'endpoint_id' | 'exception' | 'unit' | 'total' | 'last_at'>[]> {
  return tables(queries)
    .selectFrom('telemetry_counts')
    .select([
      'endpoint_id',
      'exception',
      'unit',
      sql<number>`cast(sum(count) as bigint)`.as('total'),
      sql<number>`max(bucket_at + width_ms)`.as('last_at'),
    ])
    .$if(scope !== '*', (query) => query.where('environment', 'in', [...scope]))
    .where('bucket_at', '>=', from)
    .where('outcome', '=', 'excepted')
    .groupBy(['endpoint_id', 'exception', 'unit'])
    .execute();
}

/** What every proxy of these environments has open, by its latest report. */
export async function readOpenConnections(queries: Queries, scope: Scope): Promise<readonly OpenRow[]> {
  return tables(queries)
    .selectFrom('telemetry_open')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', [...scope]))
    .execute();
}

/** The latest report of each proxy of these environments, of whichever boot. */
export async function readLatestReports(queries: Queries, scope: Scope): Promise<ReadonlyMap<EntityId<'proxy'>, SenderRow>> {
  const rows = await tables(queries)
    .selectFrom('telemetry_senders')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', [...scope]))
    .orderBy('last_report_at')
    .execute();
  return new Map(rows.map((row) => [row.proxy_id, row]));
}

/**
 * The refusals whose connection began with these octets (SHA-256, lower case hex) or, where none were told, came from these addresses,
 * for the correlation of drills.
 */
export async function findRefusals(
  queries: Queries,
  { firstOctetsSha256, addresses }: { readonly firstOctetsSha256: readonly string[]; readonly addresses: readonly string[] },
): Promise<readonly RefusalRow[]> {
  const of = (column: 'first_octets_sha256' | 'remote_address', values: readonly string[]): Promise<readonly RefusalRow[]> =>
    values.length === 0
      ? Promise.resolve([])
      : tables(queries).selectFrom('telemetry_refusals').selectAll().where(column, 'in', values).where(column, '!=', '').execute();
  return [...(await of('first_octets_sha256', firstOctetsSha256)), ...(await of('remote_address', addresses))];
}

/** The latest refusals of an environment, newest first. */
export async function readRefusals(
  queries: Queries,
  { environment, limit }: { readonly environment: string; readonly limit: number },
): Promise<readonly RefusalRow[]> {
  return tables(queries)
    .selectFrom('telemetry_refusals')
    .selectAll()
    .where('environment', '=', environment)
    .orderBy('received_at', 'desc')
    .limit(Math.min(limit, MAX_REFUSALS))
    .execute();
}

/** The certificate that each proxy last served at each endpoint. */
export async function readServedCertificates(queries: Queries, environment: string): Promise<readonly ServedRow[]> {
  return tables(queries).selectFrom('telemetry_served').selectAll().where('environment', '=', environment).execute();
}

/** What the prober reported of these drill jobs. */
export async function readDrillResults(queries: Queries, jobIds: readonly string[]): Promise<readonly DrillResultRow[]> {
  if (jobIds.length === 0) return [];
  return tables(queries).selectFrom('telemetry_drill_results').selectAll().where('job_id', 'in', jobIds).execute();
}

/** The start of the bucket that holds the instant. */
export function bucketOf(at: Instant): Instant {
  return at - (at % BUCKET_WIDTH_MS);
}

function tables(queries: Queries) {
  return queries.withTables<TelemetryTables>();
}

const MAX_REFUSALS = 10_000;
