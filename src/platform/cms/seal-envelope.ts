import { constants, createCipheriv, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { assembleEnvelopedData, type ContentCipher } from '../../core/cms/enveloped-data.ts';
import type { Certificate } from '../../core/x509/certificate.ts';

/** Encrypts to the RSA key of a certificate, by key transport (RFC 5652 section 6, RFC 3370 section 4.2.1). @throws Error if its key is not RSA */
export function sealEnvelope(
  content: Uint8Array,
  recipient: Pick<Certificate, 'issuer' | 'serial' | 'spki'>,
  cipher: ContentCipher,
): Uint8Array {
  const contentKey = randomBytes(keyOctets[cipher]);
  const iv = randomBytes(16);
  const encrypt = createCipheriv(cipher, contentKey, iv);
  const ciphertext = Buffer.concat([encrypt.update(content), encrypt.final()]);
  const key = createPublicKey({ key: Buffer.from(recipient.spki), format: 'der', type: 'spki' });
  if (key.asymmetricKeyType !== 'rsa') throw new Error(`the recipient's key is ${key.asymmetricKeyType}, expected RSA`);
  const encryptedKey = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, contentKey);
  return assembleEnvelopedData({ recipient, encryptedKey, cipher, iv, ciphertext });
}

/** Octets of the key of each cipher. */
export const keyOctets: { readonly [C in ContentCipher]: number } = { 'aes-128-cbc': 16, 'aes-192-cbc': 24, 'aes-256-cbc': 32 };
