import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeFields, makeHolder, signTbs, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { parseIpAddress } from '../identity/ip-address.ts';
import { Problem } from '../problems/problem.ts';
import { buildTbsCertificate } from './build-certificate.ts';
import { certificateKey, parseCertificate, parseTbsCertificate } from './certificate.ts';
import { hexOf, tags } from './der.ts';
import {
  bitString,
  boolean,
  type DerNode,
  encodeDer,
  explicit,
  namedBits,
  oid,
  octetStringAround,
  primitive,
  raw,
  sequence,
  smallInteger,
} from './der-writer.ts';
import { noNames } from './general-name.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier, signatureAlgorithms, readAlgorithmIdentifier, verifySignature } from './signature-algorithm.ts';
import { time } from './x509-time.ts';

const root = makeHolder('Root');
const leaf = makeHolder(null);
const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';
const extension = (id: string, value: DerNode, critical = false): DerNode =>
  critical ? sequence(oid(id), boolean(true), octetStringAround(value)) : sequence(oid(id), octetStringAround(value));

type Parts = {
  readonly version?: readonly DerNode[];
  readonly serial?: DerNode;
  readonly inner?: DerNode;
  readonly outer?: DerNode;
  readonly subject?: DerNode;
  readonly tail?: readonly DerNode[];
};

/** A certificate put together by hand, so that it can be wrong; its signature is a stand-in. */
function handmade({ version, serial, inner, outer, subject, tail }: Parts = {}): Uint8Array {
  const fields = makeFields(leaf, root, false);
  const algorithm = raw(algorithmIdentifier('ecdsa-sha256'));
  const tbs = sequence(
    ...(version ?? [explicit(0, smallInteger(2))]),
    serial ?? smallInteger(77),
    inner ?? algorithm,
    raw(fields.issuer.der),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    subject ?? raw(fields.subject.der),
    raw(fields.spki),
    ...(tail ?? []),
  );
  return encodeDer(sequence(tbs, outer ?? algorithm, bitString(Uint8Array.of(0x30, 0))));
}

const withExtensions = (...nodes: readonly DerNode[]): Uint8Array => handmade({ tail: [explicit(3, sequence(...nodes))] });

test('parseCertificate() reads back every field that was built', () => {
  const certificate = certify(leaf, root, false, {
    serial: Uint8Array.of(0xff, 1),
    subjectAltNames: {
      uri: ['spiffe://acme.test/a/b'],
      dns: ['a.acme.test'],
      ip: [parseIpAddress('10.0.0.1'), parseIpAddress('::1')],
      email: ['a@acme.test'],
    },
    crlUri: 'http://crl.acme.test/1.crl',
    issuerUri: 'http://ca.acme.test/1.cer',
  });
  assert.equal(certificate.version, 3);
  assert.equal(certificate.serialHex, '00ff01');
  assert.equal(certificate.issuer.text, 'CN=Root');
  assert.equal(certificate.subject.text, '');
  assert.equal(certificate.notBefore, TEST_NOW - 86_400_000);
  assert.equal(certificate.notAfter, TEST_NOW + 86_400_000);
  assert.deepEqual(certificate.basicConstraints, { ca: false, pathLength: null });
  assert.deepEqual(certificate.keyUsage, new Set(['digitalSignature']));
  assert.deepEqual(certificate.extendedKeyUsage, [oids.serverAuth, oids.clientAuth]);
  assert.deepEqual(certificate.subjectAltNames, {
    ...noNames,
    uri: ['spiffe://acme.test/a/b'],
    dns: ['a.acme.test'],
    ip: ['10.0.0.1', '::1'],
    email: ['a@acme.test'],
  });
  assert.deepEqual(certificate.crlDistributionPoints, ['http://crl.acme.test/1.crl']);
  assert.deepEqual(certificate.publicKey, { kind: 'ec', curve: 'P-256' });
  assert.deepEqual(certificate.unknownCritical, []);
  assert.equal(certificateKey(certificate), certificateKey(certificate));
});

test('node:crypto reads the same out of a built certificate, for every kind of key', () => {
  for (const kind of ['P-256', 'P-384', 'P-521', 'ed25519', 'rsa-2048'] as const) {
    const issuer = makeHolder('Issuer', kind);
    const certificate = certify(makeHolder('leaf.acme.test', kind), issuer, false, { subjectAltNames: { dns: ['leaf.acme.test'] } });
    const seen = new X509Certificate(certificate.der);
    assert.ok(seen.verify(certificateKey(certify(issuer, issuer, true))), kind);
    assert.equal(seen.serialNumber.toLowerCase(), certificate.serialHex);
    assert.equal(seen.subject, 'CN=leaf.acme.test');
    assert.equal(seen.validFromDate.getTime(), certificate.notBefore);
    assert.equal(seen.validToDate.getTime(), certificate.notAfter);
    assert.equal(seen.checkHost('leaf.acme.test'), 'leaf.acme.test');
    assert.ok(seen.publicKey.equals(certificateKey(certificate)));
  }
});

test('a serial keeps the octets of its INTEGER, sign octet included (RFC 5280 section 4.1.2.2)', () => {
  for (const [magnitude, content] of [
    ['80', '0080'],
    ['7f', '7f'],
    ['00ff', '00ff'],
    ['000001', '01'],
  ] as const) {
    assert.equal(certify(leaf, root, false, { serial: Buffer.from(magnitude, 'hex') }).serialHex, content);
  }
});

test('parseCertificate() refuses a signature algorithm that differs inside and outside (RFC 5280 section 4.1.1.2)', () => {
  assert.ok(parseCertificate(handmade()));
  assert.throws(() => parseCertificate(handmade({ outer: raw(algorithmIdentifier('ed25519')) })), isMalformed);
  assert.throws(() => parseCertificate(handmade({ outer: sequence(oid(oids.ecdsaWithSha256), primitive(tags.null, '')) })), isMalformed);
});

test('parseCertificate() refuses versions, unique identifiers and extensions that do not go together', () => {
  const refused: Readonly<Record<string, Uint8Array>> = {
    'version 1 written out': handmade({ version: [explicit(0, smallInteger(0))] }),
    'version 4': handmade({ version: [explicit(0, smallInteger(3))] }),
    'version 255': handmade({ version: [explicit(0, smallInteger(255))] }),
    'extensions in version 1': handmade({ version: [], tail: [explicit(3, sequence(extension('1.2.3', sequence())))] }),
    'extensions in version 2': handmade({
      version: [explicit(0, smallInteger(1))],
      tail: [explicit(3, sequence(extension('1.2.3', sequence())))],
    }),
    'unique identifier in version 1': handmade({ version: [], tail: [primitive(0x81, '\0a')] }),
    'empty extensions': handmade({ tail: [explicit(3, sequence())] }),
    'extensions twice': handmade({
      tail: [explicit(3, sequence(extension('1.2.3', sequence()))), explicit(3, sequence(extension('1.2.3', sequence())))],
    }),
    'an unknown field at the end': handmade({ tail: [explicit(4, sequence())] }),
    'an empty serial': handmade({ serial: primitive(tags.integer, '') }),
    'a serial that is not minimal': handmade({ serial: primitive(tags.integer, '\0\x01') }),
    'an empty RDN': handmade({ subject: sequence(primitive(0x31, '')) }),
    'a name that is a SET': handmade({ subject: primitive(0x31, '') }),
    'octets after the certificate': Uint8Array.from([...handmade(), 0]),
  };
  for (const [name, der] of Object.entries(refused)) assert.throws(() => parseCertificate(der), isMalformed, name);
  assert.equal(parseCertificate(handmade({ version: [] })).version, 1);
  assert.equal(parseCertificate(handmade({ version: [explicit(0, smallInteger(1))], tail: [primitive(0x81, '\0a')] })).version, 2);
});

test('parseCertificate() refuses an extension twice and known extensions that are malformed', () => {
  const ok = extension(oids.basicConstraints, sequence(), true);
  const refused: Readonly<Record<string, readonly DerNode[]>> = {
    'the same extension twice': [ok, ok],
    'an unknown extension twice': [extension('1.2.3', sequence()), extension('1.2.3', sequence())],
    'critical FALSE written out': [sequence(oid('1.2.3'), boolean(false), octetStringAround(sequence()))],
    'cA FALSE written out': [extension(oids.basicConstraints, sequence(boolean(false)))],
    'negative path length': [extension(oids.basicConstraints, sequence(boolean(true), primitive(tags.integer, '\xff')))],
    'octets after basic constraints': [sequence(oid(oids.basicConstraints), primitive(tags.octetString, '\x30\0\0'))],
    'key usage without a bit': [extension(oids.keyUsage, namedBits([]))],
    'key usage with an unknown bit': [extension(oids.keyUsage, namedBits([9]))],
    'key usage with trailing zeros': [extension(oids.keyUsage, primitive(tags.bitString, '\0\x80'))],
    'no purpose': [extension(oids.extendedKeyUsage, sequence())],
    'no alternative name': [extension(oids.subjectAltName, sequence())],
    'an address of five octets': [extension(oids.subjectAltName, sequence(primitive(0x87, '12345')))],
    'a DNS name above 7f': [extension(oids.subjectAltName, sequence(primitive(0x82, 'b\xfccher.test')))],
    'a general name of unknown kind': [extension(oids.subjectAltName, sequence(primitive(0x89, 'x')))],
    'authority serial without issuer': [extension(oids.authorityKeyIdentifier, sequence(primitive(0x82, '\x01')))],
    'constraints without a constraint': [extension(oids.nameConstraints, sequence(), true)],
    'constraints without a subtree': [extension(oids.nameConstraints, sequence(primitive(0xa0, '')), true)],
    'constraints with a minimum': [
      extension(oids.nameConstraints, sequence(explicit(0, sequence(primitive(0x82, 'a.test'), primitive(0x80, '\x01')))), true),
    ],
    'an address constraint of four octets': [
      extension(oids.nameConstraints, sequence(explicit(0, sequence(primitive(0x87, '1234')))), true),
    ],
    'a mask that is no prefix': [
      extension(oids.nameConstraints, sequence(explicit(0, sequence(primitive(0x87, '1234\xff\0\xff\0')))), true),
    ],
    'no distribution point': [extension(oids.crlDistributionPoints, sequence())],
  };
  for (const [name, nodes] of Object.entries(refused)) assert.throws(() => parseCertificate(withExtensions(...nodes)), isMalformed, name);
  assert.ok(parseCertificate(withExtensions(ok)));
});

test('critical extensions that path validation does not process are named', () => {
  const certificate = parseCertificate(
    withExtensions(extension('1.2.3', sequence(), true), extension('1.2.4', sequence()), extension(oids.keyUsage, namedBits([0]), true)),
  );
  assert.deepEqual(certificate.unknownCritical, ['1.2.3']);
});

test('readAlgorithmIdentifier() refuses parameters other than they must be, and takes absent ones of RSA (RFC 4055 section 5)', () => {
  for (const algorithm of signatureAlgorithms) assert.equal(readAlgorithmIdentifier(algorithmIdentifier(algorithm)), algorithm);
  const refused = [
    sequence(oid(oids.ecdsaWithSha256), primitive(tags.null, '')),
    sequence(oid(oids.ed25519), primitive(tags.null, '')),
    sequence(oid(oids.sha256WithRsa), sequence()),
    sequence(oid(oids.sha256WithRsa), primitive(tags.null, ''), primitive(tags.null, '')),
    sequence(oid(oids.rsaPss)),
    sequence(oid(oids.rsaPss), sequence()),
    sequence(oid('1.2.840.113549.1.1.5'), primitive(tags.null, '')),
    sequence(oid('1.2.840.10045.4.1')),
  ];
  for (const node of refused) assert.equal(readAlgorithmIdentifier(encodeDer(node)), null, hexOf(encodeDer(node)));
  for (const [id, algorithm] of [
    [oids.sha256WithRsa, 'rsa-pkcs1-sha256'],
    [oids.sha384WithRsa, 'rsa-pkcs1-sha384'],
    [oids.sha512WithRsa, 'rsa-pkcs1-sha512'],
  ] as const)
    assert.equal(readAlgorithmIdentifier(encodeDer(sequence(oid(id)))), algorithm);
});

test('verifySignature() is false for another key, kind of key, message, algorithm or cut signature, and never throws', () => {
  const certificate = certify(leaf, root, false);
  const key = certificateKey(certify(root, root, true));
  const { tbs, signature } = certificate;
  assert.equal(verifySignature('ecdsa-sha256', key, tbs, signature), true);
  assert.equal(verifySignature('ecdsa-sha384', key, tbs, signature), false);
  for (const algorithm of ['ed25519', 'rsa-pkcs1-sha256', 'rsa-pss-sha256'] as const)
    assert.equal(verifySignature(algorithm, key, tbs, signature), false);
  assert.equal(verifySignature('ecdsa-sha256', certificateKey(certificate), tbs, signature), false);
  assert.equal(verifySignature('ecdsa-sha256', key, tbs.subarray(1), signature), false);
  for (const cut of [0, 1, 8, signature.length - 1])
    assert.equal(verifySignature('ecdsa-sha256', key, tbs, signature.subarray(0, cut)), false);
  assert.equal(verifySignature('ecdsa-sha256', key, tbs, Uint8Array.from([...signature, 0])), false);
});

test('RSA-PSS signatures are written and verified with a salt as long as the hash', () => {
  const issuer = makeHolder('PSS', 'rsa-2048');
  for (const algorithm of ['rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'] as const) {
    const fields = makeFields(leaf, issuer, false, { signatureAlgorithm: algorithm });
    const certificate = parseCertificate(signTbs(buildTbsCertificate(fields), issuer, algorithm));
    assert.equal(certificate.signatureAlgorithm, algorithm);
    assert.ok(new X509Certificate(certificate.der).verify(certificateKey(certify(issuer, issuer, true))));
    assert.ok(verifySignature(algorithm, certificateKey(certify(issuer, issuer, true)), certificate.tbs, certificate.signature));
  }
});

test('a certificate with one octet changed, dropped or added parses or is der-malformed, never anything else', () => {
  const { der } = certify(leaf, root, false, { crlUri: 'http://crl.acme.test/1.crl' });
  const change = fc.record({ at: fc.nat(der.length - 1), octet: fc.nat(255), how: fc.constantFrom('change', 'drop', 'add') });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let octets = [...der];
      for (const { at, octet, how } of changes) octets = octets.toSpliced(at, how === 'add' ? 0 : 1, ...(how === 'drop' ? [] : [octet]));
      for (const parse of [parseCertificate, parseTbsCertificate]) {
        try {
          parse(Uint8Array.from(octets));
        } catch (error) {
          assert.ok(isMalformed(error), String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('every cut of a certificate is refused', () => {
  const { der } = certify(leaf, root, false);
  for (let length = 0; length < der.length; length++) assert.throws(() => parseCertificate(der.subarray(0, length)), isMalformed);
});
