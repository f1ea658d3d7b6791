import type { Kysely } from 'kysely';

/** What issuers of access tokens were last seen to publish, so that a restart while one is away changes nothing. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('published_keys')
    // Digest over the URI and the anchors of its server.
    .addColumn('source', 'text', (column) => column.primaryKey())
    .addColumn('uri', 'text', (column) => column.notNull())
    // A JSON list of public JWKs.
    .addColumn('keys', 'text', (column) => column.notNull())
    .addColumn('fetched_at', 'bigint', (column) => column.notNull())
    .execute();
}
