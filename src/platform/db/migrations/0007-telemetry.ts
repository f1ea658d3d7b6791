// oxlint-disable-next-line typescript/no-explicit-any -- a migration sees the schema as it was then, which no type of today tells
import type { Kysely } from 'kysely';

/** What data planes measured. Instants are epoch milliseconds, digests and serials lower case hex. */
// oxlint-disable-next-line typescript/no-explicit-any
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('telemetry_counts')
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('bucket_at', 'bigint', (column) => column.notNull())
    // 1000 as measured, 60000 once compacted.
    .addColumn('width_ms', 'integer', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('side', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('unit', 'text', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('generation', 'bigint', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_counts_key', [
      'bucket_at',
      'environment',
      'width_ms',
      'region',
      'endpoint_id',
      'side',
      'caller',
      'channel',
      'unit',
      'outcome',
      'reason',
      'generation',
    ])
    .execute();
  await db.schema.createIndex('telemetry_counts_age').on('telemetry_counts').columns(['width_ms', 'bucket_at']).execute();
  await db.schema
    .createTable('telemetry_senders')
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('boot_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('sequence', 'bigint', (column) => column.notNull())
    .addColumn('last_report_at', 'bigint', (column) => column.notNull())
    .addColumn('generation', 'bigint', (column) => column.notNull())
    .addColumn('revoked_sequence', 'bigint', (column) => column.notNull())
    .addColumn('refusals_dropped', 'bigint', (column) => column.notNull())
    // Least delay seen between the end of a window by the sender's clock and its arrival by ours.
    .addColumn('clock_offset_ms', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_senders_key', ['proxy_id', 'boot_id'])
    .execute();
  await db.schema.createIndex('telemetry_senders_environment').on('telemetry_senders').columns(['environment', 'last_report_at']).execute();
  await db.schema
    .createTable('telemetry_open')
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('side', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_open_key', ['proxy_id', 'side', 'endpoint_id', 'caller', 'channel'])
    .execute();
  await db.schema.createIndex('telemetry_open_environment').on('telemetry_open').columns(['environment', 'endpoint_id']).execute();
  await db.schema
    .createTable('telemetry_refusals')
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('boot_id', 'text', (column) => column.notNull())
    .addColumn('sequence', 'bigint', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('received_at', 'bigint', (column) => column.notNull())
    .addColumn('first_octets_sha256', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('issuer_key_sha256', 'text', (column) => column.notNull())
    .addColumn('serial', 'text', (column) => column.notNull())
    .addColumn('resumed', 'integer', (column) => column.notNull())
    .addColumn('octets_forwarded', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_refusals_key', ['proxy_id', 'boot_id', 'sequence', 'position'])
    .execute();
  await db.schema.createIndex('telemetry_refusals_octets').on('telemetry_refusals').columns(['first_octets_sha256']).execute();
  await db.schema.createIndex('telemetry_refusals_age').on('telemetry_refusals').columns(['received_at']).execute();
  await db.schema
    .createTable('telemetry_served')
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('issuer_key_sha256', 'text', (column) => column.notNull())
    .addColumn('serial', 'text', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('seen_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_served_key', ['proxy_id', 'endpoint_id'])
    .execute();
  await db.schema.createIndex('telemetry_served_endpoint').on('telemetry_served').columns(['environment', 'endpoint_id']).execute();
  await db.schema
    .createTable('telemetry_drill_results')
    .addColumn('job_id', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('received_at', 'bigint', (column) => column.notNull())
    .addColumn('first_octets_sha256', 'text', (column) => column.notNull())
    .addColumn('octets_sent', 'bigint', (column) => column.notNull())
    .addColumn('octets_answered', 'bigint', (column) => column.notNull())
    .addColumn('seen', 'text', (column) => column.notNull())
    .addColumn('presented_serial', 'text', (column) => column.notNull())
    .addColumn('served_serial', 'text', (column) => column.notNull())
    .addColumn('resumed', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_drill_results_key', ['job_id', 'endpoint_id', 'kind'])
    .execute();
  await db.schema.createIndex('telemetry_drill_results_age').on('telemetry_drill_results').columns(['received_at']).execute();
}
