import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeKey, spkiOf } from '../../../test/support/make-certificate.ts';
import { Problem } from '../problems/problem.ts';
import { buildCertificateRequest, parseCertificateRequest } from './certificate-request.ts';
import {
  bitString,
  constructed,
  type DerNode,
  encodeDer,
  oid,
  octetStringAround,
  primitive,
  raw,
  sequence,
  smallInteger,
} from './der-writer.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier, signatureAlgorithmFor, signatureParameters } from './signature-algorithm.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'csr-malformed';
const key = makeKey();

/** A request put together by hand, signed rightly whatever it holds. */
function handmade(parts: {
  version?: number;
  spki?: Uint8Array;
  attributes?: readonly DerNode[];
  algorithm?: Uint8Array;
  extra?: readonly DerNode[];
}): Uint8Array {
  const spki = parts.spki ?? spkiOf(key);
  const info = encodeDer(
    sequence(smallInteger(parts.version ?? 0), sequence(), raw(spki), constructed(0xa0, parts.attributes ?? []), ...(parts.extra ?? [])),
  );
  const algorithm = parts.algorithm ?? algorithmIdentifier('ecdsa-sha256');
  return encodeDer(sequence(raw(info), raw(algorithm), bitString(sign('sha256', info, key))));
}

const extensionRequest = (...extensions: readonly DerNode[]): DerNode =>
  sequence(oid(oids.extensionRequest), constructed(0x31, [sequence(...extensions)]));

test('a request survives the round trip with every kind of key', () => {
  for (const kind of ['P-256', 'P-384', 'P-521', 'ed25519', 'rsa-2048'] as const) {
    const privateKey = makeKey(kind);
    const names = { uris: ['spiffe://acme.test/a/b'], dnsNames: ['A.acme.test', '*.acme.test'], ipAddresses: ['127.0.0.1', '0:0::1'] };
    const request = parseCertificateRequest(buildCertificateRequest({ subjectCommonName: 'a.acme.test', ...names }, privateKey));
    assert.ok(request.publicKey.equals(createPublicKey(privateKey)));
    assert.equal(request.subject.text, 'CN=a.acme.test');
    assert.deepEqual(request.subjectAltNames.uri, names.uris);
    assert.deepEqual(request.subjectAltNames.dns, ['a.acme.test', '*.acme.test']);
    assert.deepEqual(request.subjectAltNames.ip, ['127.0.0.1', '::1']);
  }
  assert.deepEqual(parseCertificateRequest(buildCertificateRequest({}, key)).extensions, []);
});

test('buildCertificateRequest() refuses names that are none', () => {
  assert.throws(() => buildCertificateRequest({ dnsNames: ['a b'] }, key), { code: 'identity-malformed' });
  assert.throws(() => buildCertificateRequest({ ipAddresses: ['1.2.3'] }, key), { code: 'identity-malformed' });
});

test('parseCertificateRequest() refuses a request whose holder does not prove the key', () => {
  const good = buildCertificateRequest({ uris: ['spiffe://acme.test/a/b'] }, key);
  assert.throws(() => parseCertificateRequest(handmade({ spki: spkiOf(makeKey()) })), isMalformed);
  assert.throws(() => parseCertificateRequest(handmade({ algorithm: algorithmIdentifier('ecdsa-sha384') })), isMalformed);
  assert.throws(() => parseCertificateRequest(handmade({ algorithm: algorithmIdentifier('ed25519') })), isMalformed);
  assert.throws(() => parseCertificateRequest(handmade({ algorithm: encodeDer(sequence(oid('1.2.840.10045.4.1'))) })), isMalformed);
  const changed = Buffer.from(good);
  changed.write('spiffe://acme.test/a/c', changed.indexOf('spiffe://'));
  assert.throws(() => parseCertificateRequest(changed), isMalformed);
});

test('parseCertificateRequest() refuses other versions, extensions asked for twice, and what is left over', () => {
  assert.ok(parseCertificateRequest(handmade({})));
  const basic = sequence(oid(oids.basicConstraints), octetStringAround(sequence()));
  const refused = {
    'version 2': handmade({ version: 1 }),
    'two extension requests': handmade({ attributes: [extensionRequest(basic), extensionRequest(basic)] }),
    'an extension twice': handmade({ attributes: [extensionRequest(basic, basic)] }),
    'no extension': handmade({ attributes: [extensionRequest()] }),
    'two values': handmade({ attributes: [sequence(oid(oids.extensionRequest), constructed(0x31, [sequence(basic), sequence(basic)]))] }),
    'a malformed extension': handmade({
      attributes: [extensionRequest(sequence(oid(oids.subjectAltName), octetStringAround(sequence())))],
    }),
    'an attribute without values': handmade({ attributes: [sequence(oid('1.2.3'))] }),
    'octets after the attributes': handmade({ extra: [smallInteger(1)] }),
    'octets at the end': Uint8Array.from([...handmade({}), 0]),
    'too large': new Uint8Array(65_537),
    empty: new Uint8Array(),
  };
  for (const [name, der] of Object.entries(refused)) assert.throws(() => parseCertificateRequest(der), isMalformed, name);
  assert.ok(parseCertificateRequest(handmade({ attributes: [sequence(oid('1.2.3'), constructed(0x31, [primitive(0x0c, 'x')]))] })));
});

test('parseCertificateRequest() refuses keys of unknown kind, off their curve, compressed, or absurdly large', () => {
  const point = spkiOf(key).slice();
  point[point.length - 1]! ^= 1;
  const x25519 = generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' });
  const p224 = generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).publicKey.export({ format: 'der', type: 'spki' });
  const explicitCurve = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey.export({
    format: 'der',
    type: 'spki',
  });
  const modulus = Buffer.alloc(2_049, 0xff);
  modulus[0] = 0;
  const rsaKey = encodeDer(sequence(primitive(2, modulus), smallInteger(65_537)));
  const large = encodeDer(sequence(sequence(oid(oids.rsaEncryption), primitive(5, '')), bitString(rsaKey)));
  for (const [name, spki] of Object.entries({ point, x25519, p224, explicitCurve, large })) {
    assert.throws(
      () =>
        parseCertificateRequest(handmade({ spki, algorithm: algorithmIdentifier(name === 'large' ? 'rsa-pkcs1-sha256' : 'ecdsa-sha256') })),
      isMalformed,
      name,
    );
  }
});

test('signatureAlgorithmFor() refuses keys that do not sign', () => {
  assert.throws(() => signatureAlgorithmFor(generateKeyPairSync('x25519').privateKey), RangeError);
  assert.throws(() => signatureAlgorithmFor(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey), RangeError);
  assert.equal(
    signatureAlgorithmFor(generateKeyPairSync('rsa-pss', { modulusLength: 2048, hashAlgorithm: 'sha384' }).privateKey),
    'rsa-pss-sha384',
  );
  assert.equal(signatureParameters('ed25519').hash, null);
});

test('random octets are csr-malformed, never another error', () => {
  const good = buildCertificateRequest({ uris: ['spiffe://acme.test/a/b'] }, key);
  const changed = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, octet]) => Uint8Array.from(good).fill(octet, at, at + 1));
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 300 })), (der) => {
      try {
        parseCertificateRequest(der);
      } catch (error) {
        assert.ok(isMalformed(error), String(error));
      }
    }),
    { numRuns: 1_000 },
  );
});
