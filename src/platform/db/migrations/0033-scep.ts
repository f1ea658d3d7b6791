import { type Kysely, sql } from 'kysely';

/** One-time challenges of SCEP (RFC 8894): by a hash, with what each is for and what became of it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('scep_challenges')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('spiffe_id', 'text')
    // JSON: { dns, ip }.
    .addColumn('names', 'text', (column) => column.notNull())
    .addColumn('secret_sha256', 'bytea', (column) => column.notNull().unique())
    // Who made it, by which token: it falls with that.
    .addColumn('maker', 'text', (column) => column.notNull())
    .addColumn('maker_role', 'text', (column) => column.notNull())
    .addColumn('token_id', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('used_at', 'bigint')
    // Whose it became: SHA-256 of the key, hex, and the transaction that the client named.
    .addColumn('spki_sha256', 'text')
    .addColumn('transaction_id', 'text')
    // What waits for approval, or what was issued.
    .addColumn('request_id', 'text')
    .addColumn('issuer_key_sha256', 'text')
    .addColumn('serial', 'bytea')
    .execute();
  await sql`create index scep_challenges_transaction on scep_challenges (spki_sha256, transaction_id) where used_at is not null`.execute(
    db,
  );
  await db.schema.createIndex('scep_challenges_end').on('scep_challenges').columns(['expires_at']).execute();
}
