import type { Kysely } from 'kysely';

/** Policies by content and by name, and targets. Instants are epoch milliseconds; lists and settings are JSON text. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // A content is never changed or removed: what a proxy ran last year can still be read by its digest.
  await db.schema
    .createTable('policy_contents')
    .addColumn('digest', 'text', (column) => column.primaryKey())
    .addColumn('content', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('policies')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('policies_name', ['environment', 'name'])
    .execute();
  await db.schema
    .createTable('targets')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    // A JSON list of endpoint ids, or the JSON text "all".
    .addColumn('endpoints', 'text', (column) => column.notNull())
    .addColumn('mode', 'text', (column) => column.notNull())
    .addColumn('config', 'text', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('targets_name', ['environment', 'name'])
    .execute();
}
