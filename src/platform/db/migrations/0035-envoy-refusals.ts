import type { Kysely } from 'kysely';

/** What Envoys refused last, which none of the servers sends them again. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('envoy_refusals')
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('type_url', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    // What stands behind its last dot is of the content that was refused.
    .addColumn('version', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('refused_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('envoy_refusals_pk', ['proxy_id', 'type_url', 'name'])
    .execute();
  await db.schema.createIndex('envoy_refusals_by_time').on('envoy_refusals').column('refused_at').execute();
}
