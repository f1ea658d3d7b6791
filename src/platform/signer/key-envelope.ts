import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { KeyEncryptionKey } from './key-encryption-key.ts';

/**
 * A private key at rest: encrypted under a data key of its own, which is wrapped by the key encryption key.
 * A change of the latter touches `wrap` only. Both layers are AES-256-GCM and hold the owner and purpose as associated data,
 * so that an envelope moved to another row does not open.
 */
export type KeyEnvelope = {
  readonly version: 1;
  readonly kekId: string;
  readonly wrap: Sealed;
  readonly key: Sealed;
};

/** Ciphertext with its tag at the end, and the 96-bit nonce that was used once; both base64url. */
type Sealed = { readonly nonce: string; readonly ciphertext: string };

/** What a key is for. A key opens under one owner and one purpose only. */
export type KeyUse = { readonly ownerId: string; readonly purpose: KeyPurpose };
export type KeyPurpose =
  | 'root'
  | 'issuing'
  | 'checkpoint'
  | 'acme'
  | 'cmp'
  | 'external-account'
  | 'external-binding'
  | 'external-webhook'
  | 'external-dns-key'
  | 'scep'
  | 'ticket';

export function sealKey(kek: KeyEncryptionKey, use: KeyUse, privateKeyDer: Secret<Uint8Array>): KeyEnvelope {
  const dataKey = randomBytes(32);
  return {
    version: 1,
    kekId: kek.id,
    wrap: seal(kek.key.reveal(), wrapContext(use, kek.id), dataKey),
    key: seal(dataKey, keyContext(use), privateKeyDer.reveal()),
  };
}

/** @throws key-locked if the key encryption key is another, or the envelope was altered or belongs to another key. */
export function openKey(kek: KeyEncryptionKey, use: KeyUse, envelope: KeyEnvelope): Secret<Uint8Array> {
  return new Secret(unseal(openDataKey(kek, use, envelope), keyContext(use), envelope.key, use));
}

/** The same key under another key encryption key; the encrypted key itself stays as it is. @throws key-locked */
export function rewrapEnvelope(from: KeyEncryptionKey, to: KeyEncryptionKey, use: KeyUse, envelope: KeyEnvelope): KeyEnvelope {
  const dataKey = openDataKey(from, use, envelope);
  return { ...envelope, kekId: to.id, wrap: seal(to.key.reveal(), wrapContext(use, to.id), dataKey) };
}

/** The form in which an envelope stands in a column. */
export function encodeEnvelope(envelope: KeyEnvelope): string {
  return JSON.stringify(envelope);
}

/** @throws key-locked if the text is no envelope of a version that this program knows. */
export function decodeEnvelope(text: string): KeyEnvelope {
  try {
    const value = JSON.parse(text) as KeyEnvelope;
    const sealed = [value.wrap, value.key].every((part) => typeof part.nonce === 'string' && typeof part.ciphertext === 'string');
    if (value.version === 1 && typeof value.kekId === 'string' && sealed) return value;
  } catch {
    // Falls through: what the text was does not matter, and it is not repeated.
  }
  throw new Problem('key-locked', 'Cannot read key envelope: not of this form, expected version 1');
}

function openDataKey(kek: KeyEncryptionKey, use: KeyUse, envelope: KeyEnvelope): Uint8Array {
  if (envelope.kekId !== kek.id) {
    throw new Problem('key-locked', `Cannot open key of ${use.ownerId}: wrapped by ${envelope.kekId}, expected ${kek.id}`);
  }
  return unseal(kek.key.reveal(), wrapContext(use, kek.id), envelope.wrap, use);
}

function seal(key: Uint8Array, context: Uint8Array, plaintext: Uint8Array): Sealed {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return { nonce: nonce.toString('base64url'), ciphertext: ciphertext.toString('base64url') };
}

function unseal(key: Uint8Array, context: Uint8Array, sealed: Sealed, use: KeyUse): Uint8Array {
  try {
    const octets = Buffer.from(sealed.ciphertext, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.nonce, 'base64url'), { authTagLength: TAG_OCTETS });
    decipher.setAAD(context).setAuthTag(octets.subarray(-TAG_OCTETS));
    return Buffer.concat([decipher.update(octets.subarray(0, -TAG_OCTETS)), decipher.final()]);
  } catch (cause) {
    throw new Problem('key-locked', `Cannot open key of ${use.ownerId}: the envelope does not verify for purpose ${use.purpose}`, {
      cause,
    });
  }
}

/** Length-prefixed, so that no two different uses give the same octets. */
function context(...parts: readonly string[]): Uint8Array {
  return Buffer.from(parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join(','));
}

const keyContext = (use: KeyUse): Uint8Array => context('countersign key v1', use.ownerId, use.purpose);
const wrapContext = (use: KeyUse, kekId: string): Uint8Array => context('countersign wrap v1', use.ownerId, use.purpose, kekId);

const TAG_OCTETS = 16;
