import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import {
  derivePassphraseKey,
  type KeyEncryptionKey,
  newScryptParameters,
  readKeyFile,
  readPassphraseFile,
} from '../../platform/signer/key-encryption-key.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { findKeyEncryptionKey, type KeyEncryptionKeyRecord, replaceKeyEncryptionKey } from './key-store.ts';

/** Where the key encryption key comes from. None may lie in the data directory; a passphrase never comes by argv. */
export type KeySource =
  | { readonly kind: 'file'; readonly path: string; readonly dataDirectory: string }
  | { readonly kind: 'passphrase-file'; readonly path: string; readonly dataDirectory: string }
  | { readonly kind: 'passphrase'; readonly passphrase: Secret };

/**
 * The key encryption key of this database; the first one given is the one that it keeps.
 * @throws key-file-unsafe if the source may not be used, key-locked if it is another than the stored keys are wrapped by
 */
export async function unlockKeys(deps: { readonly database: AuditedDatabase }, source: KeySource, now: Instant): Promise<KeyEncryptionKey> {
  const held = await findKeyEncryptionKey(deps.database.queries);
  if (held !== null) return openHeld(held, source);
  const { kek, record } = await prepareKey(source, now);
  const winner = await deps.database.commit(async (unit) => {
    const other = await findKeyEncryptionKey(unit.queries);
    if (other === null) await replaceKeyEncryptionKey(unit.queries, record);
    return other;
  });
  return winner === null ? kek : openHeld(winner, source);
}

/** The key of a source that is new to this database, and what is stored of it. @throws key-file-unsafe */
export async function prepareKey(
  source: KeySource,
  now: Instant,
): Promise<{ readonly kek: KeyEncryptionKey; readonly record: KeyEncryptionKeyRecord }> {
  if (source.kind === 'file') {
    const kek = await readKeyFile(source.path, source);
    return { kek, record: { id: kek.id, source: { kind: 'file' }, createdAt: now } };
  }
  const parameters = newScryptParameters();
  const kek = await derivePassphraseKey(await readPassphrase(source), parameters);
  return { kek, record: { id: kek.id, source: { kind: 'passphrase', parameters }, createdAt: now } };
}

async function openHeld(held: KeyEncryptionKeyRecord, source: KeySource): Promise<KeyEncryptionKey> {
  const kek = await readHeld(held, source);
  if (kek.id !== held.id)
    throw new Problem('key-locked', `Cannot open keys: the ${source.kind} is another one, expected the one of ${held.id}`);
  return kek;
}

async function readHeld(held: KeyEncryptionKeyRecord, source: KeySource): Promise<KeyEncryptionKey> {
  if (source.kind === 'file' && held.source.kind === 'file') return readKeyFile(source.path, source);
  if (source.kind !== 'file' && held.source.kind === 'passphrase') {
    return derivePassphraseKey(await readPassphrase(source), held.source.parameters);
  }
  throw new Problem('key-locked', `Cannot open keys: a ${source.kind} was given, expected a ${held.source.kind}`);
}

function readPassphrase(source: Exclude<KeySource, { readonly kind: 'file' }>): Promise<Secret> {
  return source.kind === 'passphrase' ? Promise.resolve(source.passphrase) : readPassphraseFile(source.path, source);
}
