import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { DAY_MS, type Instant } from '../../src/core/time/instant.ts';
import { assembleCertificate, buildTbsCertificate, type TbsFields } from '../../src/core/x509/build-certificate.ts';
import { type Certificate, parseCertificate } from '../../src/core/x509/certificate.ts';
import { buildName, type Name } from '../../src/core/x509/name.ts';
import { oids } from '../../src/core/x509/oid.ts';
import { keyIdentifierOf, parseSubjectPublicKey } from '../../src/core/x509/public-key.ts';
import { type SignatureAlgorithm, signatureAlgorithmFor, signatureParameters } from '../../src/core/x509/signature-algorithm.ts';

/** A moment of tests, in whole seconds: 2026-06-01T12:00:00Z. */
export const TEST_NOW: Instant = 1_780_315_200_000;

/** A holder of a key: an authority with a name, or a leaf. */
export type TestHolder = { readonly name: Name; readonly key: KeyObject };

export type TestKeyKind = 'P-256' | 'P-384' | 'P-521' | 'ed25519' | 'rsa-2048' | 'rsa-3072';

/** Makes a private key; RSA takes a second. */
export function makeKey(kind: TestKeyKind = 'P-256'): KeyObject {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (kind === 'rsa-2048' || kind === 'rsa-3072') return generateKeyPairSync('rsa', { modulusLength: Number(kind.slice(4)) }).privateKey;
  return generateKeyPairSync('ec', { namedCurve: kind }).privateKey;
}

/** A holder; a leaf has an empty name unless one is given. */
export function makeHolder(commonName: string | null, kind?: TestKeyKind): TestHolder {
  return { name: buildName(commonName === null ? [] : [[oids.commonName, commonName]]), key: makeKey(kind) };
}

export function spkiOf(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ format: 'der', type: 'spki' });
}

/** The fields of an ordinary certificate of `subject` by `issuer`, valid for a day around the moment, to be changed by `changes`. */
export function makeFields(subject: TestHolder, issuer: TestHolder, ca: boolean, changes: Partial<TbsFields> = {}): TbsFields {
  const spki = spkiOf(subject.key);
  return {
    serial: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    signatureAlgorithm: signatureAlgorithmFor(issuer.key),
    issuer: issuer.name,
    subject: subject.name,
    notBefore: TEST_NOW - DAY_MS,
    notAfter: TEST_NOW + DAY_MS,
    spki,
    basicConstraints: { ca, pathLength: null },
    keyUsage: ca ? ['keyCertSign', 'cRLSign'] : ['digitalSignature'],
    extendedKeyUsage: ca ? [] : [oids.serverAuth, oids.clientAuth],
    authorityKeyId: keyIdentifierOf(parseSubjectPublicKey(spkiOf(issuer.key))),
    ...(ca
      ? { subjectKeyId: keyIdentifierOf(parseSubjectPublicKey(spki)) }
      : { subjectAltNames: { uri: ['spiffe://acme.test/production/orders'] } }),
    ...changes,
  };
}

/** Signs whatever it is given. */
export function signTbs(
  tbs: Uint8Array,
  issuer: TestHolder,
  algorithm: SignatureAlgorithm = signatureAlgorithmFor(issuer.key),
): Uint8Array {
  const { hash, options } = signatureParameters(algorithm);
  return assembleCertificate(tbs, algorithm, sign(hash, tbs, { key: issuer.key, ...options }));
}

/** A signed certificate of `subject` by `issuer`. */
export function certify(subject: TestHolder, issuer: TestHolder, ca: boolean, changes: Partial<TbsFields> = {}): Certificate {
  const fields = makeFields(subject, issuer, ca, changes);
  return parseCertificate(signTbs(buildTbsCertificate(fields), issuer, fields.signatureAlgorithm));
}
