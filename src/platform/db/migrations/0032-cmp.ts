import type { Kysely } from 'kysely';

/** CMP: shared secrets without the secrets themselves, and transactions that wait for persons or for the device's confirmation. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('cmp_secrets')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('spiffe_id', 'text')
    .addColumn('dns_names', 'text', (column) => column.notNull())
    .addColumn('ip_addresses', 'text', (column) => column.notNull())
    .addColumn('max_lifetime_ms', 'bigint', (column) => column.notNull())
    // How many certificates it buys, and how many it bought.
    .addColumn('uses', 'integer', (column) => column.notNull())
    .addColumn('used', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    .execute();
  await db.schema.createIndex('cmp_secrets_expiry').on('cmp_secrets').column('expires_at').execute();
  await db.schema
    .createTable('cmp_transactions')
    // Lower case hex, and who has it: another's transaction of the same id is another one.
    .addColumn('transaction_id', 'text', (column) => column.notNull())
    .addColumn('sender', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    // `waiting` for persons; `issued`: until the device confirms.
    .addColumn('status', 'text', (column) => column.notNull())
    // The nonce that the next message has to repeat.
    .addColumn('nonce', 'bytea', (column) => column.notNull())
    // The body that answers it, and the number of the request in it.
    .addColumn('answer', 'text', (column) => column.notNull())
    .addColumn('request_number', 'integer', (column) => column.notNull())
    .addColumn('implicit_confirm', 'integer', (column) => column.notNull())
    .addColumn('waiting_request', 'text')
    .addColumn('issuer_key_sha256', 'text')
    .addColumn('serial', 'bytea')
    // When it ends by itself: a certificate that nobody confirmed is revoked.
    .addColumn('deadline', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('cmp_transactions_key', ['transaction_id', 'sender'])
    .execute();
  await db.schema.createIndex('cmp_transactions_deadline').on('cmp_transactions').column('deadline').execute();
}
