import type { Kysely } from 'kysely';

/** The audit log: its entries, the roots of its full tiles, its head and every checkpoint; persons' names apart, so that they can be erased. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('audit_entries')
    .addColumn('leaf_index', 'bigint', (column) => column.primaryKey())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('leaf', 'text', (column) => column.notNull())
    .addColumn('leaf_hash', 'bytea', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('audit_entries_type').on('audit_entries').columns(['type', 'leaf_index']).execute();
  await db.schema.createIndex('audit_entries_actor').on('audit_entries').columns(['actor', 'leaf_index']).execute();
  await db.schema.createIndex('audit_entries_at').on('audit_entries').columns(['at', 'leaf_index']).execute();
  // The root of a full tile is a node of the level above it.
  await db.schema
    .createTable('audit_tiles')
    .addColumn('level', 'integer', (column) => column.notNull())
    .addColumn('tile_index', 'bigint', (column) => column.notNull())
    .addColumn('root', 'bytea', (column) => column.notNull())
    .addPrimaryKeyConstraint('audit_tiles_key', ['level', 'tile_index'])
    .execute();
  await db.schema
    .createTable('audit_head')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('size', 'bigint', (column) => column.notNull())
    .addColumn('subtrees', 'bytea', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('audit_checkpoints')
    .addColumn('size', 'bigint', (column) => column.primaryKey())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('audit_persons')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('salt', 'bytea', (column) => column.notNull())
    .addColumn('name_hash', 'text', (column) => column.notNull().unique())
    .execute();
}
