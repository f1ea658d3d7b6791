import type { Kysely } from 'kysely';

/** Issuers of machines' tokens with their rules, and the tokens that were used where a rule says once. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('identity_providers')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('issuer', 'text', (column) => column.notNull())
    // JSON of all that was declared.
    .addColumn('content', 'text', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('identity_providers_name', ['environment', 'name'])
    .execute();
  await db.schema.createIndex('identity_providers_issuer').on('identity_providers').column('issuer').execute();
  await db.schema
    .createTable('used_machine_tokens')
    // SHA-256 of issuer and jti or, without one, of what was signed; hex.
    .addColumn('digest', 'text', (column) => column.primaryKey())
    // SHA-256 of the public key that it was used for, hex: the same key may join again after a lost answer.
    .addColumn('used_by', 'text', (column) => column.notNull())
    .addColumn('uses', 'integer', (column) => column.notNull())
    .addColumn('used_at', 'bigint', (column) => column.notNull())
    // When the token itself is too old to be used.
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('used_machine_tokens_expiry').on('used_machine_tokens').column('expires_at').execute();
}
