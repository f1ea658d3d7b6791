import { createHmac, hash, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { type DerReader, DerReader as Reader, malformed, readSmallInteger, tags } from '../x509/der.ts';
import { type DerNode, encodeDer, nullValue, octetString, oid, sequence, smallInteger } from '../x509/der-writer.ts';
import { oids, readOid } from '../x509/oid.ts';
import { MAXIMUM_PBKDF2_ITERATIONS, MAXIMUM_PBM_ITERATIONS, MAXIMUM_SALT_OCTETS } from './cmp-limits.ts';
import { cmpOids } from './cmp-oids.ts';

type Hash = 'sha256' | 'sha384' | 'sha512';

/**
 * How a message is protected by a shared secret: PasswordBasedMac (RFC 9810 section 5.1.3.1, RFC 9481 section 6.1.1) or PBMAC1 (RFC 8018 section 7.1, RFC 9481
 * section 6.1.2). SHA-1 is taken in HMAC alone, where it is as good as ever and what OpenSSL sends.
 */
export type MacAlgorithm =
  | { readonly kind: 'pbm'; readonly salt: Uint8Array; readonly owf: Hash; readonly iterations: number; readonly mac: Hash | 'sha1' }
  | {
      readonly kind: 'pbmac1';
      readonly salt: Uint8Array;
      readonly iterations: number;
      readonly keyOctets: number;
      readonly prf: Hash | 'sha1';
      readonly mac: Hash | 'sha1';
    };

/** Reads an AlgorithmIdentifier; null: it is no MAC, or one with parts that are not taken. @throws der-malformed */
export function readMacAlgorithm(der: Uint8Array): MacAlgorithm | null {
  const outer = Reader.over(der);
  const body = outer.enter(tags.sequence);
  outer.finish();
  const id = readOid(body);
  if (id !== cmpOids.passwordBasedMac && id !== cmpOids.pbmac1) return null;
  const parameters = body.enter(tags.sequence);
  body.finish();
  return id === cmpOids.passwordBasedMac ? readPasswordBasedMac(parameters) : readPbmac1(parameters);
}

function readPasswordBasedMac(parameters: DerReader): MacAlgorithm | null {
  const salt = readSalt(parameters);
  const owf = hashes.get(readPlainAlgorithm(parameters)) ?? null;
  const iterations = readIterations(parameters, MAXIMUM_PBM_ITERATIONS);
  const mac = macs.get(readPlainAlgorithm(parameters)) ?? null;
  parameters.finish();
  return owf === null || mac === null ? null : { kind: 'pbm', salt, owf, iterations, mac };
}

function readPbmac1(parameters: DerReader): MacAlgorithm | null {
  const derivation = parameters.enter(tags.sequence);
  const scheme = macs.get(readPlainAlgorithm(parameters)) ?? null;
  parameters.finish();
  if (readOid(derivation) !== cmpOids.pbkdf2) return null;
  const inner = derivation.enter(tags.sequence);
  derivation.finish();
  const salt = readSalt(inner);
  const iterations = readIterations(inner, MAXIMUM_PBKDF2_ITERATIONS);
  const asked = inner.nextTag === tags.integer ? readSmallInteger(inner) : null;
  // RFC 8018 appendix A.2: hmacWithSHA1 is the default.
  const prf = inner.done ? 'sha1' : (macs.get(readPlainAlgorithm(inner)) ?? null);
  inner.finish();
  if (scheme === null || prf === null) return null;
  const keyOctets = asked ?? octetsOf[scheme];
  if (keyOctets < MINIMUM_KEY_OCTETS || keyOctets > MAXIMUM_KEY_OCTETS) throw malformed(`a MAC key of ${keyOctets} octets`);
  return { kind: 'pbmac1', salt, iterations, keyOctets, prf, mac: scheme };
}

/** An AlgorithmIdentifier whose parameters are absent or NULL; its identifier. */
function readPlainAlgorithm(reader: DerReader): string {
  const body = reader.enter(tags.sequence);
  const id = readOid(body);
  if (!body.done && body.content(tags.null).length !== 0) throw malformed('NULL with octets');
  body.finish();
  return id;
}

function readSalt(reader: DerReader): Uint8Array {
  const salt = reader.content(tags.octetString);
  if (salt.length > MAXIMUM_SALT_OCTETS) throw malformed(`a salt of ${salt.length} octets`);
  return salt;
}

function readIterations(reader: DerReader, most: number): number {
  const iterations = readSmallInteger(reader);
  if (iterations < 1 || iterations > most) throw malformed(`${iterations} iterations, expected at most ${most}`);
  return iterations;
}

/** The AlgorithmIdentifier to write. */
export function macAlgorithmIdentifier(algorithm: MacAlgorithm): Uint8Array {
  const salt = octetString(algorithm.salt);
  const iterations = smallInteger(algorithm.iterations);
  if (algorithm.kind === 'pbm') {
    const { owf, mac } = algorithm;
    return encodeDer(sequence(oid(cmpOids.passwordBasedMac), sequence(salt, plain(oids[owf]), iterations, plain(macOids[mac]))));
  }
  const { keyOctets, prf, mac } = algorithm;
  const derivation = sequence(oid(cmpOids.pbkdf2), sequence(salt, iterations, smallInteger(keyOctets), plain(macOids[prf])));
  return encodeDer(sequence(oid(cmpOids.pbmac1), sequence(derivation, plain(macOids[mac]))));
}

function plain(id: string): DerNode {
  return sequence(oid(id), nullValue());
}

/** The MAC of the octets under the secret. */
export async function computeMac(algorithm: MacAlgorithm, secret: Uint8Array, octets: Uint8Array): Promise<Uint8Array> {
  return createHmac(algorithm.mac, await deriveKey(algorithm, secret))
    .update(octets)
    .digest();
}

async function deriveKey(algorithm: MacAlgorithm, secret: Uint8Array): Promise<Uint8Array> {
  if (algorithm.kind === 'pbmac1') {
    return derive(secret, algorithm.salt, algorithm.iterations, algorithm.keyOctets, algorithm.prf);
  }
  let key: Uint8Array = Buffer.concat([secret, algorithm.salt]);
  for (let turn = 0; turn < algorithm.iterations; turn++) key = hash(algorithm.owf, key, 'buffer');
  return key;
}

const derive = promisify(pbkdf2);
const hashes = new Map<string, Hash>([
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
]);
const macs = new Map<string, Hash | 'sha1'>([
  [cmpOids.hmacSha1OfCmp, 'sha1'],
  [cmpOids.hmacSha1, 'sha1'],
  [cmpOids.hmacSha256, 'sha256'],
  [cmpOids.hmacSha384, 'sha384'],
  [cmpOids.hmacSha512, 'sha512'],
]);
const macOids = { sha1: cmpOids.hmacSha1, sha256: cmpOids.hmacSha256, sha384: cmpOids.hmacSha384, sha512: cmpOids.hmacSha512 } as const;
const octetsOf = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const;
const MINIMUM_KEY_OCTETS = 16;
const MAXIMUM_KEY_OCTETS = 64;
