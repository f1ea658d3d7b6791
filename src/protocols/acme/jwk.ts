import { createHash, createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { decodeBase64url } from './base64url.ts';
import { AcmeProblem } from './problems.ts';

/** A public key as a client names itself by: the JWK with the members of its thumbprint only, and that thumbprint (RFC 7638). */
export type AccountKey = {
  readonly algorithm: JwsAlgorithm;
  readonly jwk: { readonly [name: string]: string };
  readonly thumbprint: string;
  readonly key: KeyObject;
};

/** RFC 8555 section 6.2 demands ES256 and wants EdDSA; RS256 is what older clients have; ES384 fits their P-384 keys. No MAC, no `none`. */
const algorithms = {
  ES256: { kty: 'EC', crv: 'P-256', hash: 'sha256', coordinateOctets: 32, signatureOctets: 64 },
  ES384: { kty: 'EC', crv: 'P-384', hash: 'sha384', coordinateOctets: 48, signatureOctets: 96 },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', hash: null, coordinateOctets: 32, signatureOctets: 64 },
  RS256: { kty: 'RSA', crv: null, hash: 'sha256', coordinateOctets: 0, signatureOctets: 0 },
} as const;
export type JwsAlgorithm = keyof typeof algorithms;
export const jwsAlgorithms = Object.keys(algorithms) as readonly JwsAlgorithm[];

export function isJwsAlgorithm(word: unknown): word is JwsAlgorithm {
  return typeof word === 'string' && Object.hasOwn(algorithms, word);
}

/** Reads a JWK from outside. @throws badPublicKey for a private, weak, unknown or malformed key */
export function parseJwk(value: unknown): AccountKey {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('it is no object');
  const jwk = value as { readonly [name: string]: unknown };
  if (secretMembers.some((name) => Object.hasOwn(jwk, name))) throw bad('it has private members');
  const text = (name: string): string => {
    const member = jwk[name];
    if (typeof member !== 'string' || member.length > MAXIMUM_MEMBER) throw bad(`member ${name} is no text of a fitting length`);
    return member;
  };
  const kty = text('kty');
  if (kty === 'RSA') return rsaKey(text('n'), text('e'));
  const crv = kty === 'EC' || kty === 'OKP' ? text('crv') : '';
  const algorithm = jwsAlgorithms.find((name) => algorithms[name].kty === kty && algorithms[name].crv === crv);
  if (algorithm === undefined) throw bad('its kind is unknown, expected EC P-256 or P-384, OKP Ed25519, or RSA');
  const names = kty === 'EC' ? (['crv', 'kty', 'x', 'y'] as const) : (['crv', 'kty', 'x'] as const);
  const kept = Object.fromEntries(names.map((name) => [name, text(name)]));
  for (const name of names) {
    if (name !== 'x' && name !== 'y') continue;
    if (decodeBase64url(kept[name]!)?.length !== algorithms[algorithm].coordinateOctets) throw bad(`member ${name} has the wrong length`);
  }
  return open(algorithm, kept);
}

/** True if the signature over `data` is this key's. Exact lengths: ECDSA as r and s side by side (RFC 7518 section 3.4). */
export function verifyJwsSignature({ algorithm, key }: AccountKey, data: string, signature: Uint8Array): boolean {
  const { hash: digest, signatureOctets } = algorithms[algorithm];
  if (signatureOctets > 0 && signature.length !== signatureOctets) return false;
  return verify(digest, Buffer.from(data, 'latin1'), algorithm.startsWith('ES') ? { key, dsaEncoding: 'ieee-p1363' } : key, signature);
}

/** SHA-256 over the key's SubjectPublicKeyInfo, lower case hex: how certificates name it. Kept with the key. */
export function spkiSha256Of(account: AccountKey): string {
  const kept = spkiHashes.get(account);
  if (kept !== undefined) return kept;
  const sha256 = hash('sha256', account.key.export({ type: 'spki', format: 'der' }), 'hex');
  spkiHashes.set(account, sha256);
  return sha256;
}

function rsaKey(n: string, e: string): AccountKey {
  const modulus = decodeBase64url(n);
  const exponent = decodeBase64url(e);
  if (modulus === null || exponent === null || modulus[0] === 0 || exponent[0] === 0) throw bad('modulus or exponent is malformed');
  const bits = modulus.length === 0 ? 0 : modulus.length * 8 - Math.clz32(modulus[0]!) + 24;
  if (bits < MINIMUM_RSA_BITS || bits > MAXIMUM_RSA_BITS) throw bad(`RSA ${bits}, expected ${MINIMUM_RSA_BITS} to ${MAXIMUM_RSA_BITS}`);
  const value = exponent.length > 4 ? 0 : exponent.reduce((sum, octet) => sum * 256 + octet, 0);
  if (value % 2 === 0 || value < 65_537) throw bad('the exponent is even, small or huge, expected 65537');
  return open('RS256', { e, kty: 'RSA', n });
}

function open(algorithm: JwsAlgorithm, jwk: { readonly [name: string]: string }): AccountKey {
  // The members stand in the order of their names, as the thumbprint wants them.
  const thumbprint = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  try {
    return { algorithm, jwk, thumbprint, key: createPublicKey({ key: jwk, format: 'jwk' }) };
  } catch (cause) {
    throw bad('it is no point of its curve', cause);
  }
}

function bad(what: string, cause?: unknown): AcmeProblem {
  return new AcmeProblem('badPublicKey', `Cannot use key: ${what}`, { cause });
}

const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;
const MINIMUM_RSA_BITS = 2_048;
/** Larger ones make the verification itself the attack. */
const MAXIMUM_RSA_BITS = 4_096;
const MAXIMUM_MEMBER = 1_400;
const spkiHashes = new WeakMap<AccountKey, string>();
