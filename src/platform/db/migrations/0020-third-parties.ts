import type { Kysely } from 'kysely';

/** What is demanded of a server outside of the trust domain beside its name and anchors, as JSON text; null: nothing. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('endpoints').addColumn('external_terms', 'text').execute();
}
