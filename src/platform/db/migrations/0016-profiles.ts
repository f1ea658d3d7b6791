import { type Kysely, sql } from 'kysely';

/** Declared profiles, requests that wait for approvals, and what `cert list` is asked: who asked, what ends soon, what is served. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await createProfiles(db);
  await createRequests(db);
  await addSearch(db);
}

async function createProfiles(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('profiles')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    // JSON of all that was declared.
    .addColumn('content', 'text', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('profiles_name', ['environment', 'name'])
    .execute();
}

async function createRequests(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('issuance_requests')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    // JSON of what was asked for, whole and unchanged: what is approved is this.
    .addColumn('content', 'text', (column) => column.notNull())
    // SHA-256 of the content, hex.
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('asker', 'text', (column) => column.notNull())
    // Null: the token of another issuer, which ended long before anybody approved.
    .addColumn('token_id', 'text')
    .addColumn('requested_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('signing_at', 'bigint')
    .addColumn('settled_at', 'bigint')
    .addColumn('issuer_key_sha256', 'text')
    .addColumn('serial', 'bytea')
    // Why it was denied or refused.
    .addColumn('reason', 'text')
    .execute();
  await db.schema.createIndex('issuance_requests_time').on('issuance_requests').columns(['requested_at', 'id']).execute();
  await sql`create index issuance_requests_open on issuance_requests (expires_at) where settled_at is null`.execute(db);
  await sql`create index issuance_requests_settled on issuance_requests (settled_at) where settled_at is not null`.execute(db);
  await db.schema
    .createTable('issuance_approvals')
    .addColumn('request_id', 'text', (column) => column.notNull())
    .addColumn('approver', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('issuance_approvals_key', ['request_id', 'approver'])
    .execute();
}

async function addSearch(db: Kysely<unknown>): Promise<void> {
  // Null of what a data plane asked for itself: that is found by its identity.
  await db.schema.alterTable('certificates').addColumn('asker', 'text').execute();
  // What the door proved the asker to be; null before this migration.
  await db.schema.alterTable('certificates').addColumn('asker_role', 'text').execute();
  await sql`create index certificates_by_asker on certificates (asker, reserved_at, serial) where asker is not null`.execute(db);
  await db.schema.createIndex('certificates_by_environment').on('certificates').columns(['environment', 'reserved_at', 'serial']).execute();
  await sql`create index certificates_by_end on certificates (not_after, serial) where status = 'issued' and revoked_at is null`.execute(
    db,
  );
  // As the table of certificates has it, so that the two are joined by their indexes.
  await db.schema.alterTable('telemetry_served').addColumn('serial_octets', 'bytea').execute();
  await copySerials(db as Kysely<ServedTables>);
  await db.schema.createIndex('telemetry_served_serial').on('telemetry_served').columns(['serial_octets']).execute();
}

type ServedTables = { telemetry_served: { serial: string; serial_octets: Uint8Array | null } };

async function copySerials(db: Kysely<ServedTables>): Promise<void> {
  const rows = await db.selectFrom('telemetry_served').select('serial').distinct().execute();
  for (const { serial } of rows) {
    await db
      .updateTable('telemetry_served')
      .set({ serial_octets: Buffer.from(serial, 'hex') })
      .where('serial', '=', serial)
      .execute();
  }
}
