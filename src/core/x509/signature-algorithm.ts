import { type KeyObject, verify as verifyBySystem, constants } from 'node:crypto';
import { hexOf } from './der.ts';
import { type DerNode, encodeDer, explicit, nullValue, oid, sequence, smallInteger } from './der-writer.ts';
import { oids } from './oid.ts';
import { slhDsaAlgorithms, slhDsaOid } from './slh-dsa.ts';

/** The signatures that this house makes and accepts; SHA-1 and MD5 are not among them. */
export const signatureAlgorithms = [
  'ecdsa-sha256',
  'ecdsa-sha384',
  'ecdsa-sha512',
  'ed25519',
  'ed448',
  'ml-dsa-44',
  'ml-dsa-65',
  'ml-dsa-87',
  'rsa-pkcs1-sha256',
  'rsa-pkcs1-sha384',
  'rsa-pkcs1-sha512',
  'rsa-pss-sha256',
  'rsa-pss-sha384',
  'rsa-pss-sha512',
  ...slhDsaAlgorithms,
] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

/** How node:crypto signs or verifies with an algorithm; spread into the key argument. */
export type SignatureParameters = {
  /** Null for EdDSA, ML-DSA and SLH-DSA, which hash by themselves. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null;
  readonly keyTypes: readonly string[];
  readonly options: { readonly dsaEncoding?: 'der'; readonly padding?: number; readonly saltLength?: number };
};

/** The algorithm that a key of ours signs with; P-256 with SHA-256, P-384 with SHA-384, RSA as PKCS#1 v1.5 with SHA-256. */
export function signatureAlgorithmFor(key: KeyObject): SignatureAlgorithm {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (curve === 'prime256v1') return 'ecdsa-sha256';
      if (curve === 'secp384r1') return 'ecdsa-sha384';
      if (curve === 'secp521r1') return 'ecdsa-sha512';
      break;
    case 'ed25519':
    case 'ed448':
    case 'ml-dsa-44':
    case 'ml-dsa-65':
    case 'ml-dsa-87':
      return key.asymmetricKeyType;
    case 'rsa':
      return 'rsa-pkcs1-sha256';
    case 'rsa-pss':
      return pssAlgorithmFor(key);
    default:
  }
  const slhDsa = slhDsaAlgorithms.find((algorithm) => algorithm === key.asymmetricKeyType);
  if (slhDsa) return slhDsa;
  throw new RangeError(
    `Cannot choose signature algorithm: key is ${key.asymmetricKeyType} ${curve ?? ''}, expected EC, EdDSA, ML-DSA or RSA`,
  );
}

function pssAlgorithmFor(key: KeyObject): SignatureAlgorithm {
  const hash = key.asymmetricKeyDetails?.hashAlgorithm ?? 'sha256';
  return hash === 'sha512' ? 'rsa-pss-sha512' : hash === 'sha384' ? 'rsa-pss-sha384' : 'rsa-pss-sha256';
}

/** False when the signature is wrong, is not DER, or the key is of another kind than the algorithm demands. Never throws on input. */
export function verifySignature(algorithm: SignatureAlgorithm, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  const { hash, keyTypes, options } = signatureParameters(algorithm);
  if (!keyTypes.includes(key.asymmetricKeyType ?? '')) return false;
  try {
    return verifyBySystem(hash, data, { key, ...options }, signature);
  } catch {
    // A key whose own parameters forbid the algorithm (RFC 4055 section 1.2) makes node:crypto throw.
    return false;
  }
}

export function signatureParameters(algorithm: SignatureAlgorithm): SignatureParameters {
  return parameters[algorithm];
}

/** The AlgorithmIdentifier to write: parameters NULL for RSA, absent for the others but PSS (RFC 5758, 8410, 9881, 9909, 4055). */
export function algorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  return identifiers[algorithm];
}

/** The algorithm of an AlgorithmIdentifier, or null when it is none of ours or its parameters are not exactly as they must be. */
export function readAlgorithmIdentifier(der: Uint8Array): SignatureAlgorithm | null {
  return algorithmsByDer.get(hexOf(der)) ?? null;
}

/** A record with one entry for each name. */
function ofEach<K extends string, V>(names: readonly K[], valueOf: (name: K) => V): { readonly [N in K]: V } {
  return Object.fromEntries(names.map((name) => [name, valueOf(name)])) as { readonly [N in K]: V };
}

const ecdsa = (hash: 'sha256' | 'sha384' | 'sha512'): SignatureParameters => ({
  hash,
  keyTypes: ['ec'],
  options: { dsaEncoding: 'der' },
});
const pkcs1 = (hash: 'sha256' | 'sha384' | 'sha512'): SignatureParameters => ({
  hash,
  keyTypes: ['rsa'],
  options: { padding: constants.RSA_PKCS1_PADDING },
});
const pss = (hash: 'sha256' | 'sha384' | 'sha512', saltLength: number): SignatureParameters => ({
  hash,
  keyTypes: ['rsa', 'rsa-pss'],
  options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength },
});

const parameters: { readonly [A in SignatureAlgorithm]: SignatureParameters } = {
  'ecdsa-sha256': ecdsa('sha256'),
  'ecdsa-sha384': ecdsa('sha384'),
  'ecdsa-sha512': ecdsa('sha512'),
  ed25519: { hash: null, keyTypes: ['ed25519'], options: {} },
  ed448: { hash: null, keyTypes: ['ed448'], options: {} },
  // Pure ML-DSA with an empty context (RFC 9881 section 3).
  'ml-dsa-44': { hash: null, keyTypes: ['ml-dsa-44'], options: {} },
  'ml-dsa-65': { hash: null, keyTypes: ['ml-dsa-65'], options: {} },
  'ml-dsa-87': { hash: null, keyTypes: ['ml-dsa-87'], options: {} },
  'rsa-pkcs1-sha256': pkcs1('sha256'),
  'rsa-pkcs1-sha384': pkcs1('sha384'),
  'rsa-pkcs1-sha512': pkcs1('sha512'),
  'rsa-pss-sha256': pss('sha256', 32),
  'rsa-pss-sha384': pss('sha384', 48),
  'rsa-pss-sha512': pss('sha512', 64),
  // Pure SLH-DSA with an empty context (RFC 9909 section 3).
  ...ofEach(slhDsaAlgorithms, (algorithm) => ({ hash: null, keyTypes: [algorithm], options: {} })),
};

/** RSASSA-PSS-params (RFC 4055 section 3.1): MGF1 with the same hash, a salt as long as the hash. */
function pssNode(hash: string, saltLength: number, hashNull: boolean): DerNode {
  const hashNode = hashNull ? sequence(oid(hash), nullValue()) : sequence(oid(hash));
  return sequence(
    oid(oids.rsaPss),
    sequence(explicit(0, hashNode), explicit(1, sequence(oid(oids.mgf1), hashNode)), explicit(2, smallInteger(saltLength))),
  );
}

const identifiers: { readonly [A in SignatureAlgorithm]: Uint8Array } = {
  'ecdsa-sha256': encodeDer(sequence(oid(oids.ecdsaWithSha256))),
  'ecdsa-sha384': encodeDer(sequence(oid(oids.ecdsaWithSha384))),
  'ecdsa-sha512': encodeDer(sequence(oid(oids.ecdsaWithSha512))),
  ed25519: encodeDer(sequence(oid(oids.ed25519))),
  ed448: encodeDer(sequence(oid(oids.ed448))),
  'ml-dsa-44': encodeDer(sequence(oid(oids.mlDsa44))),
  'ml-dsa-65': encodeDer(sequence(oid(oids.mlDsa65))),
  'ml-dsa-87': encodeDer(sequence(oid(oids.mlDsa87))),
  'rsa-pkcs1-sha256': encodeDer(sequence(oid(oids.sha256WithRsa), nullValue())),
  'rsa-pkcs1-sha384': encodeDer(sequence(oid(oids.sha384WithRsa), nullValue())),
  'rsa-pkcs1-sha512': encodeDer(sequence(oid(oids.sha512WithRsa), nullValue())),
  'rsa-pss-sha256': encodeDer(pssNode(oids.sha256, 32, true)),
  'rsa-pss-sha384': encodeDer(pssNode(oids.sha384, 48, true)),
  'rsa-pss-sha512': encodeDer(pssNode(oids.sha512, 64, true)),
  ...ofEach(slhDsaAlgorithms, (algorithm) => encodeDer(sequence(oid(slhDsaOid(algorithm))))),
};

const algorithmsByDer = new Map<string, SignatureAlgorithm>([
  ...signatureAlgorithms.map((algorithm) => [hexOf(identifiers[algorithm]), algorithm] as const),
  // RFC 4055 section 5: written as NULL, but absent parameters must be accepted as well.
  [hexOf(encodeDer(sequence(oid(oids.sha256WithRsa)))), 'rsa-pkcs1-sha256'],
  [hexOf(encodeDer(sequence(oid(oids.sha384WithRsa)))), 'rsa-pkcs1-sha384'],
  [hexOf(encodeDer(sequence(oid(oids.sha512WithRsa)))), 'rsa-pkcs1-sha512'],
  // RFC 4055 section 2.1: hash parameters may be absent as well as NULL, and both must be accepted.
  [hexOf(encodeDer(pssNode(oids.sha256, 32, false))), 'rsa-pss-sha256'],
  [hexOf(encodeDer(pssNode(oids.sha384, 48, false))), 'rsa-pss-sha384'],
  [hexOf(encodeDer(pssNode(oids.sha512, 64, false))), 'rsa-pss-sha512'],
]);
