import { type Kysely, sql } from 'kysely';

/** Revocations that another CA is asked for, and a time of its own for the question when a certificate is to be renewed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('external_revocations')
    .addColumn('issuer_id', 'text', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('authority_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('asked_by', 'text', (column) => column.notNull())
    // asked → revoked or failed.
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull())
    // While somebody asks: until when it is his.
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('detail', 'text')
    .addPrimaryKeyConstraint('external_revocations_key', ['issuer_id', 'serial'])
    .execute();
  await sql`create index external_revocations_open on external_revocations (due_at) where status = 'asked'`.execute(db);
  await db.schema
    .alterTable('external_certificates')
    .addColumn('renewal_info_at', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
}
