import { createHash, createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Secret } from '../../core/secrets/secret.ts';

/** The key of an account at another CA: ECDSA on P-256, which RFC 8555 section 6.2 demands of every server. */
export type AcmeAccountKey = {
  readonly privateKey: KeyObject;
  /** The members of the thumbprint, in its order (RFC 7638). */
  readonly jwk: { readonly crv: string; readonly kty: string; readonly x: string; readonly y: string };
  readonly thumbprint: string;
};

/** By what the CA knows the signer: the key itself, or the URL of its account. */
export type JwsSigner = { readonly kind: 'jwk' } | { readonly kind: 'kid'; readonly kid: string };

export function makeAcmeAccountKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** What follows from the private key. */
export function openAcmeAccountKey(privateKey: KeyObject): AcmeAccountKey {
  const { crv = '', kty = '', x = '', y = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const jwk = { crv, kty, x, y };
  return { privateKey, jwk, thumbprint: createHash('sha256').update(JSON.stringify(jwk)).digest('base64url') };
}

/** A flattened JWS (RFC 8555 section 6.2). A payload of null is POST-as-GET. */
export function signJws(
  key: AcmeAccountKey,
  {
    signer,
    url,
    nonce,
    payload,
  }: { readonly signer: JwsSigner; readonly url: string; readonly nonce: string; readonly payload: object | null },
): string {
  const who = signer.kind === 'jwk' ? { jwk: key.jwk } : { kid: signer.kid };
  const header = encode({ alg: 'ES256', ...who, nonce, url });
  const body = payload === null ? '' : encode(payload);
  const octets = sign('sha256', Buffer.from(`${header}.${body}`), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return JSON.stringify({ protected: header, payload: body, signature: octets.toString('base64url') });
}

/** The proof that the asker holds the key that the CA gave out (RFC 8555 section 7.3.4). */
export function signBinding(
  key: AcmeAccountKey,
  { url, kid, macKey }: { readonly url: string; readonly kid: string; readonly macKey: Secret<Uint8Array> },
): object {
  const header = encode({ alg: 'HS256', kid, url });
  const payload = encode(key.jwk);
  const signature = createHmac('sha256', macKey.reveal()).update(`${header}.${payload}`).digest('base64url');
  return { protected: header, payload, signature };
}

/** What the challenge's answer holds (RFC 8555 section 8.1). */
export function keyAuthorizationOf(key: AcmeAccountKey, token: string): string {
  return `${token}.${key.thumbprint}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
