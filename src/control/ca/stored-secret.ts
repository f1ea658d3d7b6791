import { randomBytes } from 'node:crypto';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { type KeyUse, openKey, sealKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { findKey, insertKey, type KeyRecord } from './key-store.ts';

/** A random secret of this database for one use, made the first time: the same in every replica and after every start. @throws key-locked */
export async function ensureStoredSecret(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  use: KeyUse,
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<Secret<Uint8Array>> {
  const held = await findKey(deps.database.queries, use.ownerId, use.purpose);
  const record = held ?? (await makeSecret(deps, use, place, now));
  return openKey(deps.kek, use, record.envelope);
}

async function makeSecret(
  { database, kek }: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  use: KeyUse,
  { environment, region }: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<KeyRecord> {
  const made: KeyRecord = {
    id: newEntityId('key', now),
    ...use,
    environment,
    region,
    // A symmetric secret has no public half.
    spki: Buffer.alloc(0),
    envelope: sealKey(kek, use, new Secret<Uint8Array>(randomBytes(32))),
    createdAt: now,
  };
  // Two replicas may start at once: the first one's secret is everybody's.
  return database.commit(async (unit) => {
    const other = await findKey(unit.queries, use.ownerId, use.purpose);
    if (other === null) await insertKey(unit.queries, made);
    return other ?? made;
  });
}
