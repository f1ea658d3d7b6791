import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';
import { Secret } from '../../core/secrets/secret.ts';

/** A bearer token apart: which one it claims to be, and the secret half that proves it. */
export type BearerToken = { readonly tokenId: EntityId<'token'>; readonly secret: Secret };

/** `cst1.<token id>.<43 base64url characters>`: one line, found by secret scanners by its prefix. */
export function encodeBearerToken(token: BearerToken): Secret {
  return new Secret(`${PREFIX}${token.tokenId}.${token.secret.reveal()}`);
}

/** Null if the text is no token of this form. */
export function parseBearerToken(text: string): BearerToken | null {
  if (text.length > MAXIMUM_CHARACTERS || !text.startsWith(PREFIX)) return null;
  const [tokenId = '', secret = '', ...rest] = text.slice(PREFIX.length).split('.');
  if (rest.length > 0 || !isEntityId('token', tokenId) || !/^[A-Za-z0-9_-]{43}$/.test(secret)) return null;
  return { tokenId, secret: new Secret(secret) };
}

/** 256 random bits as text. */
export function newTokenSecret(): Secret {
  return new Secret(randomBytes(32).toString('base64url'));
}

/** What is stored of a secret. It has 256 bits of randomness, so a plain hash cannot be searched. */
export function hashTokenSecret(secret: Secret): Uint8Array {
  return createHash('sha256').update('countersign token v1\0').update(secret.reveal()).digest();
}

/** Compares in time that does not tell how much is right. `null`, an unknown token, costs the same. */
export function tokenSecretMatches(secret: Secret, storedSha256: Uint8Array | null): boolean {
  const matches = timingSafeEqual(hashTokenSecret(secret), storedSha256 ?? ABSENT);
  return matches && storedSha256 !== null;
}

const PREFIX = 'cst1.';
const MAXIMUM_CHARACTERS = 256;
const ABSENT = new Uint8Array(32);
