import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { KeyShare } from '../../core/tls/encode-client-hello.ts';

/** A key share of a group (RFC 8446 section 4.2.8), whose secret is forgotten; null for groups that Node does not make. */
export function makeKeyShare(group: number): KeyShare | null {
  const parts = makers.get(group);
  return parts === undefined ? null : { group, key: Buffer.concat(parts.map((make) => make())) };
}

function rawOf(publicKey: KeyObject, octets: number): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(-octets);
}

function curve(namedCurve: string, octets: number) {
  return (): Buffer => rawOf(generateKeyPairSync('ec', { namedCurve }).publicKey, octets);
}

const x25519 = (): Buffer => rawOf(generateKeyPairSync('x25519').publicKey, 32);
const x448 = (): Buffer => rawOf(generateKeyPairSync('x448').publicKey, 56);
const mlKem768 = (): Buffer => rawOf(generateKeyPairSync('ml-kem-768').publicKey, 1184);
const mlKem1024 = (): Buffer => rawOf(generateKeyPairSync('ml-kem-1024').publicKey, 1568);
const p256 = curve('prime256v1', 65);
const p384 = curve('secp384r1', 97);
const p521 = curve('secp521r1', 133);

const makers: ReadonlyMap<number, readonly (() => Buffer)[]> = new Map([
  [0x001d, [x25519]],
  [0x0017, [p256]],
  [0x0018, [p384]],
  [0x0019, [p521]],
  [0x001e, [x448]],
  // draft-ietf-tls-ecdhe-mlkem: ML-KEM comes first with X25519, the curve first with the others.
  [0x11ec, [mlKem768, x25519]],
  [0x11eb, [p256, mlKem768]],
  [0x11ed, [p384, mlKem1024]],
  [0x0201, [mlKem768]],
  [0x0202, [mlKem1024]],
]);
