import type { Kysely } from 'kysely';

/** Drill runs, one job for each address of an endpoint, and the verdict of each handshake. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('drill_jobs')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('run_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('endpoint_name', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('server_spiffe_id', 'text', (column) => column.notNull())
    .addColumn('protocol', 'text', (column) => column.notNull())
    .addColumn('ordered_at', 'bigint', (column) => column.notNull())
    .addColumn('deadline_at', 'bigint', (column) => column.notNull())
    .addColumn('closed_at', 'bigint')
    .execute();
  await db.schema.createIndex('drill_jobs_open').on('drill_jobs').columns(['closed_at', 'environment']).execute();
  await db.schema.createIndex('drill_jobs_endpoint').on('drill_jobs').columns(['endpoint_id', 'ordered_at']).execute();
  await db.schema
    .createTable('drill_verdicts')
    .addColumn('job_id', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('proven', 'integer', (column) => column.notNull())
    .addColumn('because', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('drill_verdicts_key', ['job_id', 'kind'])
    .execute();
}
