// oxlint-disable-next-line typescript/no-explicit-any -- a migration sees the schema as it was then, which no type of today tells
import { type Kysely, sql } from 'kysely';

/** Callers without a certificate that are let in by name, counted by that name; and the end of an exception, once it is written down. */
// oxlint-disable-next-line typescript/no-explicit-any
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('exceptions').addColumn('anonymous_terms', 'text').execute();
  await db.schema.alterTable('exceptions').addColumn('ended_at', 'bigint').execute();
  // SQLite changes no key of a table: it is made anew, with what it holds.
  await db.schema
    .createTable('telemetry_excepted_counts')
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('bucket_at', 'bigint', (column) => column.notNull())
    .addColumn('width_ms', 'integer', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('side', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('channel', 'text', (column) => column.notNull())
    .addColumn('unit', 'text', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    // Name of the exception where the outcome is `excepted`, else empty.
    .addColumn('exception', 'text', (column) => column.notNull())
    .addColumn('generation', 'bigint', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('telemetry_excepted_counts_key', [...countKey])
    .execute();
  await db
    .insertInto('telemetry_excepted_counts')
    .columns([...countKey, 'count'])
    .expression(
      db
        .selectFrom('telemetry_counts')
        .select(countKey.map((column) => (column === 'exception' ? sql.lit('').as(column) : column)))
        .select('count'),
    )
    .execute();
  await db.schema.dropTable('telemetry_counts').execute();
  await db.schema.alterTable('telemetry_excepted_counts').renameTo('telemetry_counts').execute();
  await db.schema.createIndex('telemetry_counts_age').on('telemetry_counts').columns(['width_ms', 'bucket_at']).execute();
}

const countKey = [
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
  'exception',
  'generation',
] as const;
