import type { Kysely } from 'kysely';

/** Trust domains of others: which are trusted, and the bundle of each as it was last seen. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('federated_domains')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('trust_domain', 'text', (column) => column.notNull())
    .addColumn('url', 'text', (column) => column.notNull())
    // JSON: who the endpoint has to be.
    .addColumn('endpoint', 'text', (column) => column.notNull())
    .addUniqueConstraint('federated_domains_name', ['environment', 'name'])
    .execute();
  await db.schema
    .createTable('federated_bundles')
    .addColumn('domain_id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('trust_domain', 'text', (column) => column.notNull())
    // Digest over what the operator declared of the bundle: another word of his takes its place.
    .addColumn('declared', 'text', (column) => column.notNull())
    // Null: the document named none.
    .addColumn('sequence', 'bigint')
    .addColumn('refresh_hint_ms', 'bigint')
    // JSON list of base64 DER; empty: nothing of the domain is trusted.
    .addColumn('authorities', 'text', (column) => column.notNull())
    // Null: no fetch has succeeded yet.
    .addColumn('fetched_at', 'bigint')
    .addColumn('tried_at', 'bigint')
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    // Why the last try failed; null: it did not.
    .addColumn('fault', 'text')
    .execute();
  // JSON list of the trust domains of others that the proxy's settings need.
  await db.schema
    .alterTable('proxy_settings')
    .addColumn('trust_domains', 'text', (column) => column.notNull().defaultTo('[]'))
    .execute();
}
