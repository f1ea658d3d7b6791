import { type Kysely, sql } from 'kysely';

/** Authorities of others that are asked by ACME, the orders there, and the certificates of others that are watched. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('external_authorities')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    // What was declared, JSON; secrets stand in `keys`, encrypted.
    .addColumn('settings', 'text', (column) => column.notNull())
    .addColumn('account_url', 'text')
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('external_authorities_name', ['environment', 'name'])
    .execute();
  // Of the issuers of others one row a key, so that (issuer, serial) stays a certificate's identity.
  await sql`create unique index authorities_external on authorities (spki_sha256) where status = 'external'`.execute(db);
  await db.schema
    .createTable('external_orders')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('authority_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('csr', 'bytea', (column) => column.notNull())
    .addColumn('names', 'text', (column) => column.notNull())
    .addColumn('asked_by', 'text', (column) => column.notNull())
    // requested → placing → placed → issued or failed.
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('url', 'text')
    // What it renews, and that one's certificate id of ARI.
    .addColumn('renews_issuer', 'text')
    .addColumn('renews_serial', 'bytea')
    .addColumn('replaces', 'text')
    .addColumn('endpoint_id', 'text')
    .addColumn('attempts', 'integer', (column) => column.notNull())
    // While somebody drives it: until when it is his. Every change of it moves this, and so it is the fence too.
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('detail', 'text')
    .addColumn('certificate_issuer', 'text')
    .addColumn('certificate_serial', 'bytea')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await sql`create index external_orders_open on external_orders (due_at) where status in ('requested', 'placing', 'placed')`.execute(db);
  await db.schema
    .createIndex('external_orders_certificate')
    .on('external_orders')
    .columns(['certificate_issuer', 'certificate_serial'])
    .execute();
  await db.schema
    .createTable('external_answers')
    .addColumn('token', 'text', (column) => column.primaryKey())
    .addColumn('order_id', 'text', (column) => column.notNull())
    .addColumn('answer', 'text', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('external_answers_order').on('external_answers').column('order_id').execute();
  await db.schema
    .createTable('external_certificates')
    .addColumn('issuer_id', 'text', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    // Null: imported.
    .addColumn('authority_id', 'text')
    // PEM, leaf first.
    .addColumn('chain', 'text', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('renew_at', 'bigint', (column) => column.notNull())
    .addColumn('check_at', 'bigint', (column) => column.notNull())
    .addColumn('endpoint_id', 'text')
    // The order that renews it, while it is under way and once it has.
    .addColumn('renewal', 'text')
    .addColumn('finding', 'text', (column) => column.notNull())
    .addColumn('finding_detail', 'text')
    .addColumn('finding_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('external_certificates_key', ['issuer_id', 'serial'])
    .execute();
  await db.schema.createIndex('external_certificates_check').on('external_certificates').column('check_at').execute();
  await sql`create index external_certificates_renew on external_certificates (renew_at) where authority_id is not null and renewal is null`.execute(
    db,
  );
}
