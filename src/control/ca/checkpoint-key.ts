import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { type KeyUse, openKey, sealKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { findKey, insertKey, type KeyRecord } from './key-store.ts';

/**
 * The Ed25519 key that signs the log's checkpoints, made at the first start. It signs nothing else, and no CA key signs a checkpoint.
 * Its making is in no entry, because no entry can be sealed before it exists: the log's first checkpoint shows it.
 * @throws key-locked
 */
export async function ensureCheckpointKey(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<KeyObject> {
  const held = await findKey(deps.database.queries, CHECKPOINT_USE.ownerId, CHECKPOINT_USE.purpose);
  if (held !== null) return openCheckpointKey(deps.kek, held);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const made: KeyRecord = {
    id: newEntityId('key', now),
    ...CHECKPOINT_USE,
    ...place,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    envelope: sealKey(deps.kek, CHECKPOINT_USE, new Secret<Uint8Array>(privateKey.export({ type: 'pkcs8', format: 'der' }))),
    createdAt: now,
  };
  const kept = await deps.database.commit(async (unit) => {
    const other = await findKey(unit.queries, CHECKPOINT_USE.ownerId, CHECKPOINT_USE.purpose);
    if (other === null) await insertKey(unit.queries, made);
    return other ?? made;
  });
  return openCheckpointKey(deps.kek, kept);
}

function openCheckpointKey(kek: KeyEncryptionKey, record: KeyRecord): KeyObject {
  return createPrivateKey({ key: Buffer.from(openKey(kek, CHECKPOINT_USE, record.envelope).reveal()), type: 'pkcs8', format: 'der' });
}

/** There is one log, so its key's owner is the log itself. */
const CHECKPOINT_USE = { ownerId: 'log', purpose: 'checkpoint' } as const satisfies KeyUse;
