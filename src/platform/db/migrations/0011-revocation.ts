import { type Kysely, sql } from 'kysely';

/** Shards, delta lists and responders of authorities; what is searched for among a million certificates. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('authorities')
    .addColumn('crl_shards', 'integer', (column) => column.notNull().defaultTo(1))
    .execute();
  await db.schema.alterTable('authorities').addColumn('ocsp_url', 'text').execute();
  await addDeltas(db);
  await addSearch(db);
}

async function addDeltas(db: Kysely<unknown>): Promise<void> {
  // The complete list that a delta builds on: its number, what it covered, when it was made.
  await db.schema.alterTable('crls').addColumn('base_number', 'bigint').execute();
  await db.schema.alterTable('crls').addColumn('base_covered', 'bigint').execute();
  await db.schema.alterTable('crls').addColumn('base_this_update', 'bigint').execute();
  await db.schema.alterTable('crls').addColumn('delta', 'bytea').execute();
  // The revision of its list at which an entry was last changed: what a list built before does not have.
  await db.schema.alterTable('certificates').addColumn('crl_revision', 'bigint').execute();
  await sql`update certificates set crl_revision = (
    select revision from crls where crls.authority_id = certificates.issuer_id and crls.shard = certificates.crl_shard
  ) where on_crl = 1`.execute(db);
  // The number of the revoked set at which a certificate came into it: what a reader that has an older number lacks.
  await db.schema.alterTable('certificates').addColumn('revoked_sequence', 'bigint').execute();
  await sql`update certificates set revoked_sequence = (select value from ca_sequences where name = 'revoked-set') where in_revoked_set = 1`.execute(
    db,
  );
  await sql`create index certificates_revoked_since on certificates (revoked_sequence) where in_revoked_set = 1`.execute(db);
  await db.schema.dropIndex('certificates_on_crl').execute();
  await sql`create index certificates_on_crl on certificates (issuer_id, crl_shard, crl_revision) where on_crl = 1`.execute(db);
  await sql`create index certificates_leaving_crl on certificates (issuer_id, crl_shard, not_after) where on_crl = 1`.execute(db);
}

async function addSearch(db: Kysely<unknown>): Promise<void> {
  // One row a DNS name or address, in the order in which a search shows them: a page is a range.
  await db.schema
    .createTable('certificate_names')
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('reserved_at', 'bigint', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('issuer_id', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('certificate_names_key', ['name', 'reserved_at', 'serial', 'issuer_id'])
    .execute();
  await copyNames(db as Kysely<NameTables>);
  await db.schema.createIndex('certificates_by_key').on('certificates').columns(['spki_sha256']).execute();
  await db.schema.createIndex('certificates_by_door').on('certificates').columns(['door', 'reserved_at', 'serial']).execute();
  await db.schema.createIndex('certificates_by_profile').on('certificates').columns(['profile', 'reserved_at', 'serial']).execute();
  await sql`create index certificates_revoked on certificates (reserved_at, serial) where revoked_at is not null`.execute(db);
  await sql`create index certificates_withheld on certificates (reserved_at, serial) where status = 'withheld'`.execute(db);
  await sql`create index certificates_abandoned on certificates (reserved_at, serial) where status = 'abandoned'`.execute(db);
}

type NameTables = {
  certificates: { names: string; reserved_at: number; serial: Uint8Array; issuer_id: string };
  certificate_names: { name: string; reserved_at: number; serial: Uint8Array; issuer_id: string };
};

/** What was issued before is found by its names too. */
async function copyNames(db: Kysely<NameTables>): Promise<void> {
  const rows = await db.selectFrom('certificates').select(['names', 'reserved_at', 'serial', 'issuer_id']).execute();
  for (const { names, reserved_at, serial, issuer_id } of rows) {
    const { dns, ip } = JSON.parse(names) as { readonly dns: readonly string[]; readonly ip: readonly string[] };
    const found = [...new Set([...dns, ...ip])].map((name) => ({ name, reserved_at, serial, issuer_id }));
    if (found.length > 0) await db.insertInto('certificate_names').values(found).execute();
  }
}
