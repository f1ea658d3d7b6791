import type { KeySourceDigest } from '../../core/oidc/key-source.ts';
import type { DeclaredKey } from '../../core/oidc/token-key.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** The keys that an issuer was last seen to publish. */
export type PublishedKeysRecord = {
  readonly source: KeySourceDigest;
  readonly uri: string;
  readonly keys: readonly DeclaredKey[];
  readonly fetchedAt: Instant;
};

export async function listPublishedKeys(queries: Queries): Promise<readonly PublishedKeysRecord[]> {
  const rows = await tables(queries).selectFrom('published_keys').selectAll().execute();
  return rows.map(({ source, uri, keys, fetched_at }) => ({
    source,
    uri,
    keys: JSON.parse(keys) as readonly DeclaredKey[],
    fetchedAt: fetched_at,
  }));
}

export async function upsertPublishedKeys(queries: Queries, { source, uri, keys, fetchedAt }: PublishedKeysRecord): Promise<void> {
  const values = { uri, keys: JSON.stringify(keys), fetched_at: fetchedAt };
  await tables(queries)
    .insertInto('published_keys')
    .values({ source, ...values })
    .onConflict((conflict) => conflict.column('source').doUpdateSet(values))
    .execute();
}

export async function deletePublishedKeys(queries: Queries, source: KeySourceDigest): Promise<void> {
  await tables(queries).deleteFrom('published_keys').where('source', '=', source).execute();
}

const tables = (queries: Queries) =>
  queries.withTables<{ published_keys: { source: string; uri: string; keys: string; fetched_at: number } }>();
