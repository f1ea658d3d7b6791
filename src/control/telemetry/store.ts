import { type Insertable, sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { DrillRunKind } from '../../core/findings/drill-kind.ts';
import type { Unit } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CountedChannel, Outcome, Side } from './report.ts';

type Place = { readonly environment: string; readonly region: string };

export type CountRow = Place & {
  readonly bucket_at: number;
  readonly width_ms: number;
  readonly endpoint_id: EntityId<'endpoint'>;
  readonly side: Side;
  readonly caller: string;
  readonly channel: CountedChannel;
  readonly unit: Unit;
  readonly outcome: Outcome;
  readonly reason: RefusalReason | '';
  readonly exception: string;
  readonly generation: number;
  readonly count: number;
};
export type SenderRow = Place & {
  readonly proxy_id: EntityId<'proxy'>;
  readonly boot_id: string;
  readonly sequence: number;
  readonly last_report_at: number;
  readonly generation: number;
  readonly revoked_sequence: number;
  readonly refusals_dropped: number;
  readonly clock_offset_ms: number;
};
export type OpenRow = Place & {
  readonly proxy_id: EntityId<'proxy'>;
  readonly side: Side;
  readonly endpoint_id: EntityId<'endpoint'>;
  readonly caller: string;
  readonly channel: CountedChannel;
  readonly count: number;
};
export type RefusalRow = Place & {
  readonly proxy_id: EntityId<'proxy'>;
  readonly boot_id: string;
  readonly sequence: number;
  readonly position: number;
  readonly endpoint_id: EntityId<'endpoint'>;
  readonly at: number;
  readonly received_at: number;
  readonly first_octets_sha256: string;
  readonly reason: RefusalReason;
  readonly caller: string;
  readonly issuer_key_sha256: string;
  readonly serial: string;
  readonly resumed: number;
  readonly octets_forwarded: number;
  /** Empty where there are octets. */
  readonly remote_address: string;
};
export type ServedRow = Place & {
  readonly proxy_id: EntityId<'proxy'>;
  readonly endpoint_id: EntityId<'endpoint'>;
  readonly issuer_key_sha256: string;
  readonly serial: string;
  /** The same serial, as the table of certificates has it. */
  readonly serial_octets: Uint8Array;
  readonly not_after: number;
  readonly seen_at: number;
};
export type DrillResultRow = Place & {
  readonly job_id: string;
  readonly endpoint_id: EntityId<'endpoint'>;
  readonly kind: DrillRunKind;
  readonly proxy_id: EntityId<'proxy'>;
  readonly at: number;
  readonly received_at: number;
  readonly first_octets_sha256: string;
  readonly octets_sent: number;
  readonly octets_answered: number;
  readonly seen: string;
  readonly presented_serial: string;
  readonly served_serial: string;
  readonly resumed: number;
  readonly local_address: string;
  readonly offered_session: number;
};
export type TelemetryTables = {
  telemetry_counts: CountRow;
  telemetry_senders: SenderRow;
  telemetry_open: OpenRow;
  telemetry_refusals: RefusalRow;
  telemetry_served: ServedRow;
  telemetry_drill_results: DrillResultRow;
};

/** Adds counts to their buckets; rows of one call must have distinct keys. */
export async function addCounts(queries: Queries, rows: readonly CountRow[]): Promise<void> {
  for (const chunk of chunks(rows)) {
    await tables(queries)
      .insertInto('telemetry_counts')
      .values(chunk)
      .onConflict((conflict) =>
        conflict
          .columns([...countKey])
          .doUpdateSet((set) => ({ count: set('telemetry_counts.count', '+', set.ref('excluded.count')) as never })),
      )
      .execute();
  }
}

/** The last report of each boot of these proxies. */
export async function readSenders(queries: Queries, proxyIds: readonly EntityId<'proxy'>[]): Promise<readonly SenderRow[]> {
  if (proxyIds.length === 0) return [];
  return tables(queries).selectFrom('telemetry_senders').selectAll().where('proxy_id', 'in', proxyIds).execute();
}

export async function putSenders(queries: Queries, rows: readonly SenderRow[]): Promise<void> {
  for (const chunk of chunks(rows)) {
    await tables(queries)
      .insertInto('telemetry_senders')
      .values(chunk)
      .onConflict((conflict) =>
        conflict.columns(['proxy_id', 'boot_id']).doUpdateSet((set) => ({
          sequence: set.ref('excluded.sequence'),
          last_report_at: set.ref('excluded.last_report_at'),
          generation: set.ref('excluded.generation'),
          revoked_sequence: set.ref('excluded.revoked_sequence'),
          refusals_dropped: set.ref('excluded.refusals_dropped'),
          clock_offset_ms: set.ref('excluded.clock_offset_ms'),
        })),
      )
      .execute();
  }
}

/** Replaces what these proxies had open. */
export async function replaceOpen(queries: Queries, proxyIds: readonly EntityId<'proxy'>[], rows: readonly OpenRow[]): Promise<void> {
  for (const chunk of chunks(proxyIds)) await tables(queries).deleteFrom('telemetry_open').where('proxy_id', 'in', chunk).execute();
  for (const chunk of chunks(rows)) await tables(queries).insertInto('telemetry_open').values(chunk).execute();
}

export async function addRefusals(queries: Queries, rows: readonly RefusalRow[]): Promise<void> {
  for (const chunk of chunks(rows)) await tables(queries).insertInto('telemetry_refusals').values(chunk).execute();
}

/** Keeps the latest certificate of each (proxy, endpoint). */
export async function putServed(queries: Queries, rows: readonly ServedRow[]): Promise<void> {
  for (const chunk of chunks(rows)) {
    await tables(queries)
      .insertInto('telemetry_served')
      .values(chunk)
      .onConflict((conflict) =>
        conflict.columns(['proxy_id', 'endpoint_id']).doUpdateSet((set) => ({
          issuer_key_sha256: set.ref('excluded.issuer_key_sha256'),
          serial: set.ref('excluded.serial'),
          serial_octets: set.ref('excluded.serial_octets'),
          not_after: set.ref('excluded.not_after'),
          seen_at: set.ref('excluded.seen_at'),
        })),
      )
      .execute();
  }
}

/** The first result of a drill stands: a later one for the same job and kind changes nothing. */
export async function addDrillResults(queries: Queries, rows: readonly DrillResultRow[]): Promise<void> {
  for (const chunk of chunks(rows)) {
    await tables(queries)
      .insertInto('telemetry_drill_results')
      .values(chunk)
      .onConflict((conflict) => conflict.columns(['job_id', 'endpoint_id', 'kind']).doNothing())
      .execute();
  }
}

/** Merges buckets of one second before the instant into buckets of one minute. The instant is a multiple of a minute. */
export async function compactCounts(queries: Queries, before: Instant): Promise<void> {
  const minute = sql<number>`bucket_at - (bucket_at % ${sql.lit(COMPACT_WIDTH_MS)})`;
  const others = countKey.filter((column) => column !== 'bucket_at' && column !== 'width_ms');
  await tables(queries)
    .insertInto('telemetry_counts')
    .columns(['bucket_at', 'width_ms', ...others, 'count'])
    .expression((builder) =>
      builder
        .selectFrom('telemetry_counts')
        .select([
          minute.as('minute'),
          sql<number>`${sql.lit(COMPACT_WIDTH_MS)}`.as('width'),
          ...others,
          sql<number>`cast(sum(count) as bigint)`.as('total'),
        ])
        .where('width_ms', '=', BUCKET_WIDTH_MS)
        .where('bucket_at', '<', before)
        .groupBy([minute, ...others]),
    )
    .onConflict((conflict) =>
      conflict
        .columns([...countKey])
        .doUpdateSet((set) => ({ count: set('telemetry_counts.count', '+', set.ref('excluded.count')) as never })),
    )
    .execute();
  await tables(queries).deleteFrom('telemetry_counts').where('width_ms', '=', BUCKET_WIDTH_MS).where('bucket_at', '<', before).execute();
}

/** Forgets what is older than the retention of each kind. */
export async function deleteBefore(
  queries: Queries,
  { counts, records, senders }: { readonly counts: Instant; readonly records: Instant; readonly senders: Instant },
): Promise<void> {
  const store = tables(queries);
  await store.deleteFrom('telemetry_counts').where('width_ms', '=', COMPACT_WIDTH_MS).where('bucket_at', '<', counts).execute();
  await store.deleteFrom('telemetry_refusals').where('received_at', '<', records).execute();
  await store.deleteFrom('telemetry_drill_results').where('received_at', '<', records).execute();
  const gone = store.selectFrom('telemetry_senders').select('proxy_id').where('last_report_at', '>=', senders);
  await store.deleteFrom('telemetry_open').where('proxy_id', 'not in', gone).execute();
  await store.deleteFrom('telemetry_served').where('proxy_id', 'not in', gone).execute();
  await store.deleteFrom('telemetry_senders').where('last_report_at', '<', senders).execute();
}

/** Forgets the oldest refusals beyond so many. */
export async function capRefusals(queries: Queries, keep: number): Promise<void> {
  const store = tables(queries);
  const oldest = await store
    .selectFrom('telemetry_refusals')
    .select('received_at')
    .orderBy('received_at', 'desc')
    .offset(keep)
    .limit(1)
    .executeTakeFirst();
  if (oldest !== undefined) await store.deleteFrom('telemetry_refusals').where('received_at', '<=', oldest.received_at).execute();
}

function tables(queries: Queries) {
  return queries.withTables<TelemetryTables>();
}

function chunks<Row>(rows: readonly Row[]): Insertable<Row>[][] & Row[][] {
  const found: Row[][] = [];
  for (let at = 0; at < rows.length; at += CHUNK_ROWS) found.push(rows.slice(at, at + CHUNK_ROWS));
  return found as Insertable<Row>[][] & Row[][];
}

const countKey = [
  'environment',
  'bucket_at',
  'width_ms',
  'region',
  'endpoint_id',
  'side',
  'caller',
  'channel',
  'unit',
  'outcome',
  'reason',
  'exception',
  'generation',
] as const;

export const BUCKET_WIDTH_MS = 1_000;
export const COMPACT_WIDTH_MS = 60_000;
/** SQLite binds at most 32766 values and PostgreSQL 65535 in one statement; a row has at most 16. */
const CHUNK_ROWS = 500;
