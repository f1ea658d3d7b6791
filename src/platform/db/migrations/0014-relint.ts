import type { Kysely } from 'kysely';

/** How far what was issued has been held against the rules of the lint, and what was found. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('lint_runs')
    // One row.
    .addColumn('name', 'text', (column) => column.primaryKey())
    // Digest of the rules.
    .addColumn('rules', 'text', (column) => column.notNull())
    .addColumn('reserved_at', 'bigint', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('examined', 'bigint', (column) => column.notNull())
    .addColumn('finished_at', 'bigint')
    .execute();
  await db.schema
    .createTable('lint_findings')
    .addColumn('issuer_id', 'text', (column) => column.notNull())
    .addColumn('serial', 'bytea', (column) => column.notNull())
    .addColumn('rules', 'text', (column) => column.notNull())
    // JSON: rule, clause and message of each.
    .addColumn('findings', 'text', (column) => column.notNull())
    .addColumn('found_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('lint_findings_key', ['issuer_id', 'serial'])
    .execute();
}
