import type { Kysely } from 'kysely';

/** Who may make which HTTP calls of an endpoint, as JSON. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('endpoints')
    .addColumn('routes', 'text', (column) => column.notNull().defaultTo('[]'))
    .execute();
}
