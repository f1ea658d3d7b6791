import { type Kysely, sql } from 'kysely';

/** What proxies are, what each must run, and what it said about it. Instants are epoch milliseconds; SQLite keeps `bytea` as a BLOB. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('proxies')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('spiffe_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('version', 'text', (column) => column.notNull())
    .addColumn('capabilities', 'text', (column) => column.notNull())
    .addColumn('joined_at', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_at', 'bigint', (column) => column.notNull())
    .addColumn('connected', 'integer', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('path_modes')
    .addColumn('path_id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('receiver_mode', 'text', (column) => column.notNull())
    .addColumn('origination', 'text', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('proxy_settings')
    .addColumn('proxy_id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('generation', 'bigint', (column) => column.notNull())
    // SHA-256 of the content without its generation.
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('content', 'bytea', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('acknowledged_generation', 'bigint', (column) => column.notNull())
    .addColumn('acknowledged_at', 'bigint')
    .addColumn('refused_generation', 'bigint', (column) => column.notNull())
    .addColumn('refusal', 'text')
    .execute();
  await db.schema
    .createTable('renewal_epochs')
    .addColumn('proxy_id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('requested_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('fleet_revision')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    // Rises with every change of a path's mode or a renewal epoch.
    .addColumn('value', 'bigint', (column) => column.notNull())
    // The revisions of everything that the stored settings were made from.
    .addColumn('compiled_from', 'text', (column) => column.notNull())
    .execute();
  await sql`insert into fleet_revision (id, value, compiled_from) values (1, 0, '')`.execute(db);
}
