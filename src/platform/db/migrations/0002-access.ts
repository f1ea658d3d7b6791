import type { Kysely } from 'kysely';

/** Tokens of people and machines, and the tokens by which data planes join. Instants are epoch milliseconds; SQLite keeps `bytea` as a BLOB. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('access_tokens')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    // A JSON list of the environments that the token may act in, or the JSON text "*".
    .addColumn('scope', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('secret_sha256', 'bytea', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .execute();
  await db.schema
    .createTable('join_tokens')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('secret_sha256', 'bytea', (column) => column.notNull())
    .addColumn('spiffe_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('proxy_id', 'text', (column) => column.notNull())
    .addColumn('proxy_name', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    // The key that claimed it (SHA-256 of its SPKI, hex) may ask again after a lost answer; no other key may.
    .addColumn('claimed_by', 'text')
    .addColumn('claimed_at', 'bigint')
    .addColumn('claims', 'integer', (column) => column.notNull())
    .execute();
}
