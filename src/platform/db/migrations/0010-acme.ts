import type { Kysely } from 'kysely';

/** ACME (RFC 8555): accounts and what binds them, orders, authorizations with their one tried challenge, arrival times of rate limits. No nonces. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('acme_accounts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('jwk', 'text', (column) => column.notNull())
    // RFC 7638. A key is one account's, for ever: a deactivated account keeps it.
    .addColumn('thumbprint', 'text', (column) => column.notNull().unique())
    .addColumn('contacts', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    // The terms that were agreed to, by their URL.
    .addColumn('terms', 'text')
    // The binding as it was sent (JSON), and the token that it used.
    .addColumn('binding', 'text')
    .addColumn('binding_token', 'text')
    .addColumn('role', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('acme_binding_tokens')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('account_id', 'text')
    .addColumn('used_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute();
  await createOrders(db);
  await db.schema
    .createTable('acme_limits')
    .addColumn('name', 'text', (column) => column.primaryKey())
    // Theoretical arrival time of the generic cell rate algorithm.
    .addColumn('arrival_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('acme_limits_arrival').on('acme_limits').column('arrival_at').execute();
}

async function createOrders(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('acme_orders')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    // `open` is pending, ready or invalid by its authorizations; the rest stands for itself.
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('profile', 'text')
    .addColumn('identifiers', 'text', (column) => column.notNull())
    .addColumn('authorizations', 'text', (column) => column.notNull())
    .addColumn('replaces', 'text')
    .addColumn('error', 'text')
    .addColumn('processing_at', 'bigint')
    .addColumn('issuer_key_sha256', 'text')
    .addColumn('serial', 'bytea')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('acme_orders_account').on('acme_orders').columns(['account_id', 'id']).execute();
  await db.schema.createIndex('acme_orders_replaces').on('acme_orders').column('replaces').execute();
  await db.schema.createIndex('acme_orders_serial').on('acme_orders').column('serial').execute();
  await db.schema.createIndex('acme_orders_expiry').on('acme_orders').column('expires_at').execute();
  await db.schema
    .createTable('acme_authorizations')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('identifier_type', 'text', (column) => column.notNull())
    // Without `*.`.
    .addColumn('identifier', 'text', (column) => column.notNull())
    .addColumn('wildcard', 'integer', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('token', 'text', (column) => column.notNull())
    // The one challenge that was tried; null: none yet.
    .addColumn('challenge', 'text')
    .addColumn('error', 'text')
    .addColumn('validated_at', 'bigint')
    // While it is validated: when somebody else may take the work over.
    .addColumn('due_at', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex('acme_authorizations_identifier')
    .on('acme_authorizations')
    .columns(['account_id', 'identifier', 'status'])
    .execute();
  await db.schema.createIndex('acme_authorizations_due').on('acme_authorizations').column('due_at').execute();
  await db.schema.createIndex('acme_authorizations_expiry').on('acme_authorizations').column('expires_at').execute();
}
