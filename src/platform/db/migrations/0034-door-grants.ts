import { type Kysely, sql } from 'kysely';

/** What ACME, CMP and SCEP each kept of their one-time grants is one table; every grant moves, whatever became of it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('door_grants')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('door', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    // Whom it is for.
    .addColumn('name', 'text')
    .addColumn('role', 'text', (column) => column.notNull())
    // What it is bound to; names are JSON: { dns, ip }. Null: whatever the role may have.
    .addColumn('profile', 'text')
    .addColumn('spiffe_id', 'text')
    .addColumn('names', 'text')
    .addColumn('max_lifetime_ms', 'bigint')
    // Where it is found by a hash; other secrets are derived from the id.
    .addColumn('secret_sha256', 'bytea', (column) => column.unique())
    .addColumn('uses', 'integer', (column) => column.notNull())
    .addColumn('used', 'integer', (column) => column.notNull())
    // Who made it, by which token: it falls with that. Null: made by ACME or CMP before this was kept.
    .addColumn('maker', 'text')
    .addColumn('maker_kind', 'text')
    .addColumn('maker_token', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('revoked_at', 'bigint')
    // The last use: when, by which account or transaction, for which key (SHA-256, hex), and what waits or was issued for it.
    .addColumn('used_at', 'bigint')
    .addColumn('used_by', 'text')
    .addColumn('spki_sha256', 'text')
    .addColumn('request_id', 'text')
    .addColumn('issuer_key_sha256', 'text')
    .addColumn('serial', 'bytea')
    .execute();
  await sql`create index door_grants_use on door_grants (spki_sha256, used_by) where spki_sha256 is not null`.execute(db);
  await db.schema.createIndex('door_grants_end').on('door_grants').column('expires_at').execute();
  await db.schema.createIndex('door_grants_name').on('door_grants').column('name').execute();
  await moveGrants(db);
  for (const table of ['acme_binding_tokens', 'cmp_secrets', 'scep_challenges']) await db.schema.dropTable(table).execute();
}

async function moveGrants(db: Kysely<unknown>): Promise<void> {
  await sql`
    insert into door_grants (id, door, environment, region, name, role, uses, used, created_at, expires_at, revoked_at, used_at, used_by)
    select id, 'acme', environment, region, name, role, 1, case when used_at is null then 0 else 1 end, created_at, expires_at, revoked_at,
      used_at, account_id
    from acme_binding_tokens`.execute(db);
  // Both columns are JSON lists.
  await sql`
    insert into door_grants (id, door, environment, region, name, role, profile, spiffe_id, names, max_lifetime_ms, uses, used, created_at,
      expires_at, revoked_at)
    select id, 'cmp', environment, region, name, role, profile, spiffe_id, '{"dns":' || dns_names || ',"ip":' || ip_addresses || '}',
      max_lifetime_ms, uses, used, created_at, expires_at, revoked_at
    from cmp_secrets`.execute(db);
  // The role of who asks is that of the maker, and none but pipelines have the role ci.
  await sql`
    insert into door_grants (id, door, environment, region, role, profile, spiffe_id, names, secret_sha256, uses, used, maker, maker_kind,
      maker_token, created_at, expires_at, revoked_at, used_at, used_by, spki_sha256, request_id, issuer_key_sha256, serial)
    select id, 'scep', environment, region, maker_role, profile, spiffe_id, names, secret_sha256, 1, case when used_at is null then 0 else 1 end,
      maker, case when maker_role = 'ci' then 'machine' else 'person' end, token_id, created_at, expires_at, revoked_at, used_at,
      transaction_id, spki_sha256, request_id, issuer_key_sha256, serial
    from scep_challenges`.execute(db);
}
