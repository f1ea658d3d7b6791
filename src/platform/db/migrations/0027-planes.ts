import type { Kysely } from 'kysely';

/** What runs the settings of a proxy; whoever was declared before there was another plane has our own. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('declared_proxies')
    .addColumn('plane', 'text', (column) => column.notNull().defaultTo('native'))
    .execute();
}
