import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { ScryptParameters } from '../../platform/signer/key-encryption-key.ts';
import { decodeEnvelope, encodeEnvelope, type KeyEnvelope, type KeyPurpose } from '../../platform/signer/key-envelope.ts';

/** A private key at rest, with what may be known of it without opening it. */
export type KeyRecord = {
  readonly id: EntityId<'key'>;
  readonly ownerId: string;
  readonly purpose: KeyPurpose;
  readonly environment: string;
  readonly region: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly envelope: KeyEnvelope;
  readonly createdAt: Instant;
};

/** Which key encryption key is in use; never the key itself. */
export type KeyEncryptionKeyRecord = {
  readonly id: string;
  readonly source: { readonly kind: 'file' } | { readonly kind: 'passphrase'; readonly parameters: ScryptParameters };
  readonly createdAt: Instant;
};

export async function findKeyEncryptionKey(queries: Queries): Promise<KeyEncryptionKeyRecord | null> {
  const row = await tables(queries).selectFrom('key_encryption_keys').selectAll().executeTakeFirst();
  if (row === undefined) return null;
  const {
    id,
    created_at: createdAt,
    scrypt_salt: salt,
    scrypt_cost: cost,
    scrypt_block_size: blockSize,
    scrypt_parallelization: parallelization,
  } = row;
  if (salt === null || cost === null || blockSize === null || parallelization === null) return { id, source: { kind: 'file' }, createdAt };
  return { id, source: { kind: 'passphrase', parameters: { salt, cost, blockSize, parallelization } }, createdAt };
}

/** There is one at a time: this one takes the place of the one before. */
export async function replaceKeyEncryptionKey(queries: Queries, record: KeyEncryptionKeyRecord): Promise<void> {
  const parameters = record.source.kind === 'passphrase' ? record.source.parameters : null;
  await tables(queries).deleteFrom('key_encryption_keys').execute();
  await tables(queries)
    .insertInto('key_encryption_keys')
    .values({
      id: record.id,
      kind: record.source.kind,
      scrypt_salt: parameters?.salt ?? null,
      scrypt_cost: parameters?.cost ?? null,
      scrypt_block_size: parameters?.blockSize ?? null,
      scrypt_parallelization: parameters?.parallelization ?? null,
      created_at: record.createdAt,
    })
    .execute();
}

export async function insertKey(queries: Queries, key: KeyRecord): Promise<void> {
  await tables(queries)
    .insertInto('keys')
    .values({
      id: key.id,
      owner_id: key.ownerId,
      purpose: key.purpose,
      environment: key.environment,
      region: key.region,
      spki: key.spki,
      envelope: encodeEnvelope(key.envelope),
      created_at: key.createdAt,
    })
    .execute();
}

export async function findKey(queries: Queries, ownerId: string, purpose: KeyPurpose): Promise<KeyRecord | null> {
  const row = await tables(queries)
    .selectFrom('keys')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .where('purpose', '=', purpose)
    .executeTakeFirst();
  return row === undefined ? null : toKey(row);
}

export async function listKeys(queries: Queries): Promise<KeyRecord[]> {
  const rows = await tables(queries).selectFrom('keys').selectAll().orderBy('id').execute();
  return rows.map(toKey);
}

/** All keys of one purpose. */
export async function listKeysFor(queries: Queries, purpose: KeyPurpose): Promise<KeyRecord[]> {
  const rows = await tables(queries).selectFrom('keys').selectAll().where('purpose', '=', purpose).orderBy('id').execute();
  return rows.map(toKey);
}

/** False if it was not there any more. */
export async function deleteKey(queries: Queries, id: EntityId<'key'>): Promise<boolean> {
  const result = await tables(queries).deleteFrom('keys').where('id', '=', id).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

export async function updateEnvelope(queries: Queries, id: EntityId<'key'>, envelope: KeyEnvelope): Promise<void> {
  await tables(queries)
    .updateTable('keys')
    .set({ envelope: encodeEnvelope(envelope) })
    .where('id', '=', id)
    .execute();
}

type KeyEncryptionKeyRow = {
  id: string;
  kind: string;
  scrypt_salt: Uint8Array | null;
  scrypt_cost: number | null;
  scrypt_block_size: number | null;
  scrypt_parallelization: number | null;
  created_at: number;
};

type KeyRow = {
  id: string;
  owner_id: string;
  purpose: string;
  environment: string;
  region: string;
  spki: Uint8Array;
  envelope: string;
  created_at: number;
};

const tables = (queries: Queries) => queries.withTables<{ key_encryption_keys: KeyEncryptionKeyRow; keys: KeyRow }>();

function toKey(row: KeyRow): KeyRecord {
  return {
    id: row.id as EntityId<'key'>,
    ownerId: row.owner_id,
    purpose: row.purpose as KeyPurpose,
    environment: row.environment,
    region: row.region,
    spki: row.spki,
    envelope: decodeEnvelope(row.envelope),
    createdAt: row.created_at,
  };
}
