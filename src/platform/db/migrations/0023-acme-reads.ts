import { type Kysely, SqliteAdapter, sql } from 'kysely';

/** A revision of all ACME accounts, so that they can be held in memory; indexes of ACME that are written no oftener than they are of use. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('acme_account_revision')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute();
  await sql`insert into acme_account_revision (id, value) values (1, 0)`.execute(db);
  await (db.getExecutor().adapter instanceof SqliteAdapter ? watchOnSqlite(db) : watchOnPostgres(db));
  await narrowIndexes(db);
}

/** By triggers: no statement, ours or an operator's, can change an account and be forgotten. A new account is held by nobody. */
async function watchOnSqlite(db: Kysely<unknown>): Promise<void> {
  for (const event of ['update', 'delete']) {
    await sql
      .raw(
        `create trigger acme_accounts_${event} after ${event} on acme_accounts
         begin update acme_account_revision set value = value + 1; end`,
      )
      .execute(db);
  }
}

async function watchOnPostgres(db: Kysely<unknown>): Promise<void> {
  await sql`create function advance_acme_account_revision() returns trigger language plpgsql as
    'begin update acme_account_revision set value = value + 1; return null; end'`.execute(db);
  await sql`create trigger acme_accounts_changed after update or delete or truncate on acme_accounts
    for each statement execute function advance_acme_account_revision()`.execute(db);
}

async function narrowIndexes(db: Kysely<unknown>): Promise<void> {
  const changed = ['orders_replaces', 'orders_serial', 'orders_expiry', 'authorizations_due', 'authorizations_identifier'];
  for (const name of changed) await db.schema.dropIndex(`acme_${name}`).execute();
  await sql`create index acme_orders_replaces on acme_orders (replaces) where replaces is not null`.execute(db);
  await sql`create index acme_orders_serial on acme_orders (serial) where serial is not null`.execute(db);
  // Orders that have a certificate are kept, and were gone through again by each look for those to be deleted.
  await sql`create index acme_orders_expiry on acme_orders (expires_at) where serial is null`.execute(db);
  await sql`create index acme_authorizations_due on acme_authorizations (due_at) where due_at is not null`.execute(db);
  // Without the status, which changes: an account has few authorizations for one name.
  await db.schema.createIndex('acme_authorizations_identifier').on('acme_authorizations').columns(['account_id', 'identifier']).execute();
}
