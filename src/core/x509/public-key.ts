import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { Problem } from '../problems/problem.ts';
import { DerReader, equalOctets, readInteger, readOctetAlignedBits, tags } from './der.ts';
import { encodeOid, oids, readOid } from './oid.ts';
import { type SlhDsaAlgorithm, slhDsaKeyOctets, slhDsaOf } from './slh-dsa.ts';

/** What kind of key a SubjectPublicKeyInfo holds; `unknown` for everything that this house does not use. */
export type PublicKeyKind =
  | { readonly kind: 'ec'; readonly curve: 'P-256' | 'P-384' | 'P-521' }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'ed448' }
  /** FIPS 204, by its parameter set. */
  | { readonly kind: 'ml-dsa'; readonly parameterSet: 44 | 65 | 87 }
  /** FIPS 205, by its parameter set. */
  | { readonly kind: 'slh-dsa'; readonly algorithm: SlhDsaAlgorithm }
  /** FIPS 203, by its parameter set; signs nothing. */
  | { readonly kind: 'ml-kem'; readonly parameterSet: 512 | 768 | 1024 }
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponent: number; readonly pss: boolean }
  | { readonly kind: 'unknown'; readonly algorithm: string };

/** SubjectPublicKeyInfo: its DER, the SHA-256 over it (lower case hex) and the subjectPublicKey octets. */
export type SubjectPublicKey = {
  readonly der: Uint8Array;
  readonly kind: PublicKeyKind;
  readonly keyOctets: Uint8Array;
};

/** Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7, 5480, 8410, 9881, 9909, 9935). @throws der-malformed */
export function readSubjectPublicKey(reader: DerReader): SubjectPublicKey {
  const start = reader.rest();
  const body = reader.enter(tags.sequence);
  const der = start.subarray(0, start.length - reader.rest().length);
  const algorithm = body.enter(tags.sequence);
  const id = readOid(algorithm);
  const parameters = algorithm.rest();
  const keyOctets = readOctetAlignedBits(body);
  body.finish();
  return { der, kind: kindOf(id, parameters, keyOctets), keyOctets };
}

/** Reads a SubjectPublicKeyInfo that stands alone. @throws der-malformed */
export function parseSubjectPublicKey(spki: Uint8Array): SubjectPublicKey {
  const reader = DerReader.over(spki);
  const key = readSubjectPublicKey(reader);
  reader.finish();
  return key;
}

/** Parameters must have exactly the form that the algorithm's RFC gives; explicit curve parameters are `unknown` (RFC 5480 section 2.1.1). */
function kindOf(id: string, parameters: Uint8Array, keyOctets: Uint8Array): PublicKeyKind {
  const unknown: PublicKeyKind = { kind: 'unknown', algorithm: id };
  switch (id) {
    case oids.ecPublicKey: {
      const found = curves.find(([oid]) => equalOctets(parameters, encodeOid(oid)));
      // Uncompressed points only: RFC 5480 section 2.2 demands them, compressed ones are optional.
      return found && keyOctets.length === found[2] && keyOctets[0] === 4 ? { kind: 'ec', curve: found[1] } : unknown;
    }
    case oids.ed25519:
      return parameters.length === 0 && keyOctets.length === 32 ? { kind: 'ed25519' } : unknown;
    case oids.ed448:
      return parameters.length === 0 && keyOctets.length === 57 ? { kind: 'ed448' } : unknown;
    case oids.mlDsa44:
    case oids.mlDsa65:
    case oids.mlDsa87: {
      const [parameterSet, length] =
        id === oids.mlDsa44 ? ([44, 1_312] as const) : id === oids.mlDsa65 ? ([65, 1_952] as const) : ([87, 2_592] as const);
      return parameters.length === 0 && keyOctets.length === length ? { kind: 'ml-dsa', parameterSet } : unknown;
    }
    case oids.rsaEncryption:
      return parameters.length === 2 && parameters[0] === tags.null ? rsaKind(keyOctets, false) : unknown;
    case oids.rsaPss:
      return rsaKind(keyOctets, true);
    default:
      return parameters.length === 0 ? (laterKind(id, keyOctets) ?? unknown) : unknown;
  }
}

/** SLH-DSA and ML-KEM: no parameters, and exactly the octets of the set. */
function laterKind(id: string, { length }: Uint8Array): PublicKeyKind | null {
  const algorithm = slhDsaOf(id);
  if (algorithm) return length === slhDsaKeyOctets(algorithm) ? { kind: 'slh-dsa', algorithm } : null;
  const set = mlKemSets.find(([oid, , octets]) => oid === id && octets === length);
  return set ? { kind: 'ml-kem', parameterSet: set[1] } : null;
}

function rsaKind(keyOctets: Uint8Array, pss: boolean): PublicKeyKind {
  const reader = DerReader.over(keyOctets);
  const body = reader.enter(tags.sequence);
  const modulus = readInteger(body);
  const exponent = readInteger(body);
  body.finish();
  reader.finish();
  const magnitude = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  const bits = modulus[0]! >= 0x80 || magnitude.length === 0 ? 0 : magnitude.length * 8 - Math.clz32(magnitude[0]!) + 24;
  const value = exponent.length > 5 ? Number.POSITIVE_INFINITY : exponent.reduce((sum, octet) => sum * 256 + octet, 0);
  return { kind: 'rsa', bits, exponent: value, pss };
}

/** Opens a SubjectPublicKeyInfo as a key; EC points off their curve are refused by it. @throws der-malformed */
export function openPublicKey(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki.buffer, spki.byteOffset, spki.length), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new Problem('der-malformed', 'Cannot read public key: not a key that the cryptographic library knows', { cause });
  }
}

/** Keys too small to prove anything, so large that verifying is the attack, or of no kind that is used here, prove nothing. */
export function isUsableKey(key: PublicKeyKind): boolean {
  if (key.kind !== 'rsa') return key.kind !== 'unknown';
  const { bits, exponent } = key;
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS && exponent >= 3 && exponent % 2 === 1 && exponent <= MAX_RSA_EXPONENT;
}

/** RFC 7093 section 2 method 1: the leftmost 160 bits of SHA-256 over the subjectPublicKey octets. */
export function keyIdentifierOf(key: SubjectPublicKey): Uint8Array {
  return hash('sha256', key.keyOctets, 'buffer').subarray(0, 20);
}

/** SHA-256 of octets as lower case hex. */
export function sha256Hex(octets: Uint8Array): string {
  return hash('sha256', octets, 'hex');
}

const curves = [
  [oids.p256, 'P-256', 65],
  [oids.p384, 'P-384', 97],
  [oids.p521, 'P-521', 133],
] as const;
const mlKemSets = [
  [oids.mlKem512, 512, 800],
  [oids.mlKem768, 768, 1_184],
  [oids.mlKem1024, 1024, 1_568],
] as const;
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;
const MAX_RSA_EXPONENT = 2 ** 32;
