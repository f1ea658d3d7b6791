import type { Kysely } from 'kysely';

/** The list of revoked certificates of each authority that data planes are handed, which read no other form of the revoked set. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('fleet_lists')
    .addColumn('authority_id', 'text', (column) => column.primaryKey())
    .addColumn('number', 'bigint', (column) => column.notNull())
    // Over the serials on it: while these are the same, so are its octets.
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('der', 'bytea', (column) => column.notNull())
    .execute();
}
