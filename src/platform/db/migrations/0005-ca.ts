import { type Kysely, sql } from 'kysely';

/** Authorities and their keys, certificates by (issuer, serial), revocation lists, suspended identities. Instants are epoch milliseconds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await createKeys(db);
  await createAuthorities(db);
  await createCertificates(db);
  await db.schema
    .createTable('suspended_identities')
    .addColumn('spiffe_id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('suspended_at', 'bigint', (column) => column.notNull())
    .execute();
}

async function createKeys(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('key_encryption_keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('scrypt_salt', 'bytea')
    .addColumn('scrypt_cost', 'integer')
    .addColumn('scrypt_block_size', 'integer')
    .addColumn('scrypt_parallelization', 'integer')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('owner_id', 'text', (column) => column.notNull())
    .addColumn('purpose', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('spki', 'bytea', (column) => column.notNull())
    .addColumn('envelope', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('keys_owner_purpose', ['owner_id', 'purpose'])
    .execute();
}

async function createAuthorities(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('authorities')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('parent_id', 'text')
    .addColumn('trust_domain', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('key_id', 'text', (column) => column.notNull())
    .addColumn('spki_sha256', 'text', (column) => column.notNull())
    .addColumn('certificate', 'bytea', (column) => column.notNull())
    .addColumn('crl_url', 'text')
    // active: signs and is trusted; trusted: is trusted only; retired: neither.
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('ca_sequences')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute();
  await sql`insert into ca_sequences (name, value) values ('trust-bundle', 0), ('revoked-set', 0)`.execute(db);
  await db.schema
    .createTable('crls')
    .addColumn('authority_id', 'text', (column) => column.notNull())
    .addColumn('shard', 'integer', (column) => column.notNull())
    // Counts the changes of what the list must hold; `covered` is the count that the list in `der` was built at.
    .addColumn('revision', 'bigint', (column) => column.notNull())
    .addColumn('covered', 'bigint', (column) => column.notNull())
    .addColumn('number', 'bigint', (column) => column.notNull())
    .addColumn('this_update', 'bigint')
    .addColumn('next_update', 'bigint')
    .addColumn('der', 'bytea')
    .addPrimaryKeyConstraint('crls_key', ['authority_id', 'shard'])
    .execute();
}

async function createCertificates(db: Kysely<unknown>): Promise<void> {
  // A rowid table: the fat DER stays out of the tree that random serials are looked up in.
  await db.schema
    .createTable('certificates')
    .addColumn('issuer_id', 'text', (column) => column.notNull())
    .addColumn('issuer_key_sha256', 'text', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('door', 'text', (column) => column.notNull())
    .addColumn('spiffe_id', 'text')
    .addColumn('names', 'text', (column) => column.notNull())
    .addColumn('proxy_id', 'text')
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('spki_sha256', 'text', (column) => column.notNull())
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('reserved_at', 'bigint', (column) => column.notNull())
    .addColumn('der', 'bytea')
    .addColumn('revoked_at', 'bigint')
    .addColumn('revocation_reason', 'text')
    .addColumn('in_revoked_set', 'integer', (column) => column.notNull())
    .addColumn('on_crl', 'integer', (column) => column.notNull())
    .addColumn('crl_shard', 'integer', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('certificates_by_serial').on('certificates').columns(['issuer_id', 'serial']).unique().execute();
  await sql`create index certificates_by_proxy on certificates (proxy_id, reserved_at) where proxy_id is not null`.execute(db);
  await db.schema.createIndex('certificates_by_time').on('certificates').columns(['reserved_at', 'serial']).execute();
  await sql`create index certificates_by_identity on certificates (spiffe_id, reserved_at) where spiffe_id is not null`.execute(db);
  // What stays small however many certificates there are: each is read whole and often.
  await sql`create index certificates_reserved on certificates (reserved_at) where status = 'reserved'`.execute(db);
  await sql`create index certificates_revoked_set on certificates (not_after) where in_revoked_set = 1`.execute(db);
  await sql`create index certificates_on_crl on certificates (issuer_id, crl_shard) where on_crl = 1`.execute(db);
  await sql`create index certificates_compromised on certificates (spki_sha256) where revocation_reason = 'keyCompromise'`.execute(db);
}
