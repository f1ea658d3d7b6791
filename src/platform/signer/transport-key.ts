import { constants, createPrivateKey, createPublicKey, type KeyObject, privateDecrypt, randomBytes, sign } from 'node:crypto';
import { type ContentCipher, contentCiphers, type EnvelopedData } from '../../core/cms/enveloped-data.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { cipherOf } from '../cms/content-cipher.ts';

/** An RSA key of ours to which messages are encrypted, and that signs our answers to them. It is no authority's: it signs no certificate. */
export type TransportKey = {
  readonly publicKey: KeyObject;
  /** What the envelope holds; null if it does not open, for whatever reason. */
  open(envelope: EnvelopedData & { readonly cipher: ContentCipher }, encryptedKey: Uint8Array): Uint8Array | null;
  /** PKCS#1 v1.5 with SHA-256. */
  signMessage(octets: Uint8Array): Promise<Uint8Array>;
};

/** A transport key that is in this process. */
export function makeTransportKey(privateKeyDer: Secret<Uint8Array>): TransportKey {
  const privateKey = createPrivateKey({ key: Buffer.from(privateKeyDer.reveal()), type: 'pkcs8', format: 'der' });
  return {
    publicKey: createPublicKey(privateKey),
    open: (envelope, encryptedKey) => {
      try {
        return decrypt(envelope, unwrap(privateKey, encryptedKey, contentCiphers[envelope.cipher].keyOctets));
      } catch {
        return null;
      }
    },
    signMessage: (octets) =>
      new Promise((resolve, reject) =>
        sign('sha256', octets, privateKey, (error, signature) => (error === null ? resolve(signature) : reject(error))),
      ),
  };
}

/**
 * RFC 3218 section 2.3.2: a content key that is none is replaced by a random one, so that its padding and the content's fail alike; OpenSSL itself gives a made-up
 * key where the padding is wrong (implicit rejection).
 */
function unwrap(key: KeyObject, encryptedKey: Uint8Array, octets: number): Uint8Array {
  const instead = randomBytes(octets);
  try {
    const contentKey = privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, encryptedKey);
    return contentKey.length === octets ? contentKey : instead;
  } catch {
    return instead;
  }
}

function decrypt({ cipher, iv, ciphertext }: EnvelopedData & { readonly cipher: ContentCipher }, contentKey: Uint8Array): Uint8Array {
  const decipher = cipherOf(cipher, contentKey, iv).decrypt();
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}
