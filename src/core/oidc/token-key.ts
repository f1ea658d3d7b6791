import { constants, createPublicKey, type KeyObject, verify, type webcrypto } from 'node:crypto';
import { Problem } from '../problems/problem.ts';

/** A public key of an issuer of tokens, as a JWK (RFC 7517) with the members that matter here. */
export type DeclaredKey = { readonly [member: string]: string };

/** A key for the one algorithm that it is used with: what a token says of its algorithm decides nothing (RFC 8725 section 3.1). */
export type TokenKey = {
  /** Empty: the issuer names none. */
  readonly kid: string;
  readonly algorithm: string;
  readonly isSignatureOf: (octets: Uint8Array, signature: Uint8Array) => boolean;
};

/** Keeps the public members of a JWK. @throws input-invalid for a private, weak or unknown key */
export function parseDeclaredKey(value: unknown): DeclaredKey {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('no object');
  const entries = Object.entries(value);
  const secret = entries.find(([name]) => PRIVATE.has(name));
  if (secret !== undefined) throw invalid(`a private member ${secret[0]}`);
  const kept = entries.filter(([name]) => PUBLIC.has(name));
  if (kept.some(([, text]) => typeof text !== 'string' || text.length > MAXIMUM_CHARACTERS)) throw invalid('a member that is no text');
  const declared = Object.fromEntries(kept) as DeclaredKey;
  openTokenKey(declared);
  return declared;
}

/** @throws input-invalid */
export function openTokenKey(declared: DeclaredKey): TokenKey {
  const algorithm = algorithmOf(declared);
  if (declared['alg'] !== undefined && declared['alg'] !== algorithm) throw invalid(`algorithm ${declared['alg']} of another kind of key`);
  let key: KeyObject;
  try {
    key = createPublicKey({ key: declared as webcrypto.JsonWebKey, format: 'jwk' });
  } catch (cause) {
    throw invalid('no key', cause);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? MINIMUM_RSA_BITS;
  if (bits < MINIMUM_RSA_BITS) throw invalid(`RSA of ${bits} bits`);
  return { kid: declared['kid'] ?? '', algorithm, isSignatureOf: verifierOf(algorithm, key) };
}

function algorithmOf({ kty, crv, alg }: DeclaredKey): string {
  if (kty === 'RSA' && (alg === 'RS256' || alg === 'PS256')) return alg;
  const algorithm = kty === 'EC' ? curves[crv ?? ''] : kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined;
  if (algorithm === undefined) throw invalid(`kty ${kty} with crv ${crv} and alg ${alg}`);
  return algorithm;
}

function verifierOf(algorithm: string, key: KeyObject): TokenKey['isSignatureOf'] {
  switch (algorithm) {
    case 'EdDSA':
      return (octets, signature) => verify(null, octets, key, signature);
    case 'RS256':
      return (octets, signature) => verify('sha256', octets, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
    case 'PS256':
      return (octets, signature) => verify('sha256', octets, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature);
    default:
      return (octets, signature) =>
        verify(algorithm === 'ES384' ? 'sha384' : 'sha256', octets, { key, dsaEncoding: 'ieee-p1363' }, signature);
  }
}

function invalid(found: string, cause?: unknown): Problem {
  return new Problem('input-invalid', `Cannot parse token key: ${found}, expected a public JWK for ES256, ES384, EdDSA, RS256 or PS256`, {
    cause,
  });
}

const curves: { readonly [crv: string]: string | undefined } = { 'P-256': 'ES256', 'P-384': 'ES384' };
const PUBLIC: ReadonlySet<string> = new Set(['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg']);
/** RFC 7518 section 6; `k` is a shared secret. */
const PRIVATE: ReadonlySet<string> = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']);
const MINIMUM_RSA_BITS = 2_048;
/** An RSA modulus of 8192 bits. */
const MAXIMUM_CHARACTERS = 1_400;
