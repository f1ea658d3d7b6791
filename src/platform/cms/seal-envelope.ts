import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { assembleEnvelopedData, type ContentCipher, contentCiphers } from '../../core/cms/enveloped-data.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { cipherOf } from './content-cipher.ts';

/** Encrypts to the RSA key of a certificate, by key transport (RFC 5652 section 6, RFC 3370 section 4.2.1). @throws Error if its key is not RSA */
export function sealEnvelope(
  content: Uint8Array,
  recipient: Pick<Certificate, 'issuer' | 'serial' | 'spki'>,
  cipher: ContentCipher,
): Uint8Array {
  const contentKey = randomBytes(contentCiphers[cipher].keyOctets);
  const iv = randomBytes(contentCiphers[cipher].ivOctets);
  const encrypt = cipherOf(cipher, contentKey, iv).encrypt();
  const ciphertext = Buffer.concat([encrypt.update(content), encrypt.final()]);
  const key = createPublicKey({ key: Buffer.from(recipient.spki), format: 'der', type: 'spki' });
  if (key.asymmetricKeyType !== 'rsa') throw new Error(`the recipient's key is ${key.asymmetricKeyType}, expected RSA`);
  const encryptedKey = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, contentKey);
  return assembleEnvelopedData({ recipient, encryptedKey, cipher, iv, ciphertext });
}
