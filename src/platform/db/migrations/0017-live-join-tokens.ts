import type { Kysely } from 'kysely';

/** The join tokens that live are few and asked for often; those that ever lived are as many as joins. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex('join_tokens_expiry').on('join_tokens').columns(['expires_at']).execute();
}
