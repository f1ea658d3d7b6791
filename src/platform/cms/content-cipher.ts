import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { ContentCipher } from '../../core/cms/enveloped-data.ts';

/** Both directions of a cipher under one key. OpenSSL has DES no more, but as 3DES whose three keys are one. */
export function cipherOf(cipher: ContentCipher, key: Uint8Array, iv: Uint8Array) {
  const [name, material] = cipher === 'des-cbc' ? (['des-ede3-cbc', Buffer.concat([key, key, key])] as const) : ([cipher, key] as const);
  return { encrypt: () => createCipheriv(name, material, iv), decrypt: () => createDecipheriv(name, material, iv) };
}
