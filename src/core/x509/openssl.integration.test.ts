import assert from 'node:assert/strict';
import { createPublicKey, hash, sign } from 'node:crypto';
import { test } from 'node:test';
import { certify, makeHolder, makeKey, spkiOf, TEST_NOW, type TestHolder } from '../../../test/support/make-certificate.ts';
import { hasOpenssl, makeFiles, openssl } from '../../../test/support/openssl.ts';
import { parseIpAddress } from '../identity/ip-address.ts';
import { DAY_MS } from '../time/instant.ts';
import type { TbsFields } from './build-certificate.ts';
import { assembleCertificateList, buildTbsCertificateList } from './build-certificate-list.ts';
import { debianKeyDigest } from './debian-key-digest.ts';
import { buildCertificateRequest, parseCertificateRequest } from './certificate-request.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { parseCertificateList } from './certificate-list.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { decodePem, encodePem } from './pem.ts';
import { parseSubjectPublicKey } from './public-key.ts';
import { verifyPath } from './verify-path.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is not installed';
const pem = (...certificates: readonly Certificate[]): string => certificates.map(({ der }) => encodePem('CERTIFICATE', der)).join('');

type Case = {
  readonly root?: Partial<TbsFields>;
  readonly issuing?: Partial<TbsFields>;
  readonly leaf?: Partial<TbsFields>;
  readonly at?: number;
};

const [root, issuing, leaf, stranger] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder(null), makeHolder('Stranger')];
const uriOnly = (host: string): Partial<TbsFields> => ({ nameConstraints: { permitted: [{ kind: 'uri', host }], excluded: [] } });
const addresses = (prefix: string, mask: string): Partial<TbsFields> => ({
  nameConstraints: { permitted: [], excluded: [{ kind: 'ip', address: Buffer.from(prefix, 'hex'), mask: Buffer.from(mask, 'hex') }] },
});

const noAddresses: Partial<TbsFields> = {
  nameConstraints: {
    permitted: [],
    excluded: [4, 16].map((octets) => ({ kind: 'ip', address: new Uint8Array(octets), mask: new Uint8Array(octets) }) as const),
  },
};

/** Chains on which both must agree, and what both must say. */
const cases: Readonly<Record<string, readonly ['accept' | 'reject', Case]>> = {
  'an ordinary chain': ['accept', {}],
  'all names at once': [
    'accept',
    {
      leaf: {
        subjectAltNames: {
          uri: ['spiffe://acme.test/a/b'],
          dns: ['*.acme.test'],
          ip: [parseIpAddress('10.0.0.1')],
          email: ['a@acme.test'],
        },
      },
    },
  ],
  'a leaf that ended': ['reject', { at: TEST_NOW + 2 * DAY_MS }],
  'a leaf to come': ['reject', { at: TEST_NOW - 2 * DAY_MS }],
  'an issuer that ended': ['reject', { issuing: { notBefore: TEST_NOW - 3 * DAY_MS, notAfter: TEST_NOW - DAY_MS } }],
  'an issuer that is none': ['reject', { issuing: { basicConstraints: { ca: false, pathLength: null }, keyUsage: ['digitalSignature'] } }],
  'an issuer without keyCertSign': ['reject', { issuing: { keyUsage: ['cRLSign'] } }],
  'a path length of the root that is too short': ['reject', { root: { basicConstraints: { ca: true, pathLength: 0 } } }],
  'a path length that is enough': ['accept', { issuing: { basicConstraints: { ca: true, pathLength: 0 } } }],
  'a leaf for another purpose': ['reject', { leaf: { extendedKeyUsage: [oids.serverAuth] } }],
  'an issuer for another purpose': ['reject', { issuing: { extendedKeyUsage: [oids.serverAuth] } }],
  'a leaf without purposes': ['accept', { leaf: { extendedKeyUsage: [] } }],
  'a critical extension nobody knows': [
    'reject',
    { leaf: { furtherExtensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] } },
  ],
  'an extension nobody knows': [
    'accept',
    { leaf: { furtherExtensions: [{ oid: '1.2.3.4', critical: false, value: Uint8Array.of(5, 0) }] } },
  ],
  'a permitted URI': ['accept', { issuing: uriOnly('acme.test') }],
  'a URI that is not permitted': ['reject', { issuing: uriOnly('other.test') }],
  'an excluded DNS name': [
    'reject',
    {
      leaf: { subjectAltNames: { dns: ['a.b.acme.test'] } },
      issuing: { nameConstraints: { permitted: [], excluded: [{ kind: 'dns', name: 'b.acme.test' }] } },
    },
  ],
  'a DNS name beside the excluded one': [
    'accept',
    {
      leaf: { subjectAltNames: { dns: ['ab.acme.test'] } },
      issuing: { nameConstraints: { permitted: [], excluded: [{ kind: 'dns', name: 'b.acme.test' }] } },
    },
  ],
  'an excluded address': [
    'reject',
    { leaf: { subjectAltNames: { ip: [parseIpAddress('10.1.2.3')] } }, issuing: addresses('0a000000', 'ff000000') },
  ],
  'an address of version 4 where all are excluded': [
    'reject',
    { leaf: { subjectAltNames: { ip: [parseIpAddress('203.0.113.9')] } }, issuing: noAddresses },
  ],
  'an address of version 6 where all are excluded': [
    'reject',
    { leaf: { subjectAltNames: { ip: [parseIpAddress('2001:db8::9')] } }, issuing: noAddresses },
  ],
  'a DNS name where all addresses are excluded': ['accept', { leaf: { subjectAltNames: { dns: ['a.acme.test'] } }, issuing: noAddresses }],
  'an address of version 6 where all of version 4 are excluded': [
    'accept',
    { leaf: { subjectAltNames: { ip: [parseIpAddress('2001:db8::9')] } }, issuing: addresses('00000000', '00000000') },
  ],
  'an address beside the excluded ones': [
    'accept',
    { leaf: { subjectAltNames: { ip: [parseIpAddress('11.1.2.3')] } }, issuing: addresses('0a000000', 'ff000000') },
  ],
  'a subject outside a directory constraint': [
    'reject',
    { root: { nameConstraints: { permitted: [], excluded: [{ kind: 'directory', name: buildName([[oids.commonName, 'Issuing']]) }] } } },
  ],
  'an issuer spelled otherwise': ['accept', { leaf: { issuer: buildName([[oids.commonName, 'ISSUING  ']]) } }],
  'an issuer of another name': ['reject', { leaf: { issuer: buildName([[oids.commonName, 'Other']]) } }],
};

test('verifyPath() and openssl verify say the same of the same chains', { skip }, async () => {
  await using files = await makeFiles();
  for (const [name, [expected, { root: top, issuing: middle, leaf: bottom, at = TEST_NOW }]] of Object.entries(cases)) {
    const anchor = certify(root, root, true, { notAfter: TEST_NOW + 9 * DAY_MS, notBefore: TEST_NOW - 9 * DAY_MS, ...top });
    const intermediate = certify(issuing, root, true, { notAfter: TEST_NOW + 9 * DAY_MS, notBefore: TEST_NOW - 9 * DAY_MS, ...middle });
    const end = certify(leaf, issuing, false, bottom);
    const ours = verifyPath({ leaf: end, intermediates: [intermediate], anchors: [anchor], usage: 'client', now: at });
    const [trusted, untrusted, target] = await Promise.all([
      files.write('root.pem', pem(anchor)),
      files.write('issuing.pem', pem(intermediate)),
      files.write('leaf.pem', pem(end)),
    ]);
    const flags = ['-x509_strict', '-purpose', 'sslclient', '-attime', String(at / 1000), '-no-CApath', '-no-CAstore'];
    const theirs = await openssl(['verify', ...flags, '-CAfile', trusted, '-untrusted', untrusted, target]);
    assert.equal(
      ours.kind === 'valid' ? 'accept' : 'reject',
      expected,
      `${name}: ${JSON.stringify(ours.kind === 'invalid' && ours.detail)}`,
    );
    assert.equal(theirs.code === 0 ? 'accept' : 'reject', expected, `${name}: ${theirs.output}`);
  }
});

test('openssl reads our requests, and we read those of openssl', { skip }, async () => {
  await using files = await makeFiles();
  for (const kind of ['P-256', 'P-384', 'ed25519', 'rsa-2048'] as const) {
    const key = makeKey(kind);
    const ours = await files.write(
      'ours.pem',
      encodePem('CERTIFICATE REQUEST', buildCertificateRequest({ uris: ['spiffe://acme.test/a/b'], dnsNames: ['a.test'] }, key)),
    );
    const read = await openssl(['req', '-in', ours, '-noout', '-verify', '-text']);
    assert.equal(read.code, 0, read.output);
    assert.match(read.output, /verify OK/);
    assert.match(read.output, /URI:spiffe:\/\/acme\.test\/a\/b, DNS:a\.test/);
    const keyFile = await files.write('key.pem', key.export({ format: 'pem', type: 'pkcs8' }));
    const theirs = await openssl([
      'req',
      '-new',
      '-key',
      keyFile,
      '-subj',
      '/CN=b.test',
      '-addext',
      'subjectAltName=DNS:b.test,IP:10.0.0.1,URI:spiffe://acme.test/a/b',
    ]);
    assert.equal(theirs.code, 0, theirs.output);
    const request = parseCertificateRequest(decodePem(theirs.output, 'CERTIFICATE REQUEST')[0]!);
    assert.equal(request.subject.text, 'CN=b.test');
    assert.deepEqual(
      [request.subjectAltNames.dns, request.subjectAltNames.ip, request.subjectAltNames.uri],
      [['b.test'], ['10.0.0.1'], ['spiffe://acme.test/a/b']],
    );
    assert.deepEqual(Buffer.from(request.spki), Buffer.from(spkiOf(key)));
  }
});

test('we read certificates that openssl made, of every kind of key', { skip }, async () => {
  await using files = await makeFiles();
  for (const kind of ['P-256', 'P-521', 'ed25519', 'rsa-2048'] as const) {
    const key = await files.write('key.pem', makeKey(kind).export({ format: 'pem', type: 'pkcs8' }));
    const made = await openssl([
      'req',
      '-x509',
      '-key',
      key,
      '-subj',
      '/C=CH/O=Acme, Inc./CN=Root',
      '-days',
      '9000',
      '-addext',
      'nameConstraints=critical,permitted;DNS:acme.test,excluded;IP:10.0.0.0/255.0.0.0',
    ]);
    assert.equal(made.code, 0, made.output);
    const certificate = parseCertificate(decodePem(made.output, 'CERTIFICATE')[0]!);
    assert.equal(certificate.subject.text, String.raw`C=CH,O=Acme\, Inc.,CN=Root`);
    assert.deepEqual(certificate.basicConstraints, { ca: true, pathLength: null });
    assert.equal(certificate.subjectKeyId, certificate.authorityKeyId);
    assert.deepEqual(certificate.nameConstraints?.permitted, [{ kind: 'dns', name: 'acme.test' }]);
    const verdict = verifyPath({
      leaf: certificate,
      intermediates: [],
      anchors: [certificate],
      usage: 'server',
      now: certificate.notBefore,
    });
    assert.equal(verdict.kind, 'valid');
  }
});

function makeList(by: TestHolder, issuer: Certificate, serials: readonly Uint8Array[]): Uint8Array {
  const tbs = buildTbsCertificateList({
    signatureAlgorithm: 'ecdsa-sha256',
    issuer: issuer.subject,
    thisUpdate: TEST_NOW,
    nextUpdate: TEST_NOW + DAY_MS,
    entries: serials.map((serial, i) => ({ serial, revokedAt: TEST_NOW, reason: i % 2 === 0 ? 'keyCompromise' : 'unspecified' })),
    authorityKeyId: Buffer.from(issuer.subjectKeyId!, 'hex'),
    crlNumber: Uint8Array.of(200),
    distributionUri: 'http://crl.acme.test/1.crl',
  });
  return assembleCertificateList(tbs, 'ecdsa-sha256', sign('sha256', tbs, by.key));
}

test('openssl verifies our lists and refuses the certificates on them', { skip }, async () => {
  await using files = await makeFiles();
  const anchor = certify(root, root, true);
  const end = certify(leaf, root, false, { crlUri: 'http://crl.acme.test/1.crl', serial: Uint8Array.of(0xff, 2, 3, 4, 5, 6, 7, 8, 9) });
  const [trusted, target] = await Promise.all([files.write('root.pem', pem(anchor)), files.write('leaf.pem', pem(end))]);
  for (const [serials, by, code] of [
    [[], root, 0],
    [[end.serial, Uint8Array.of(7)], root, 2],
    [[], stranger, 2],
  ] as const) {
    const der = makeList(by, anchor, serials);
    assert.equal(parseCertificateList(der).revoked.length, serials.length);
    const list = await files.write('list.pem', encodePem('X509 CRL', der));
    const shown = await openssl(['crl', '-in', list, '-noout', '-text', '-CAfile', trusted]);
    assert.match(shown.output, by === root ? /verify OK/ : /verify failure/);
    assert.match(shown.output, /CRL Number:\s+200/);
    const flags = ['-crl_check', '-x509_strict', '-attime', String(TEST_NOW / 1000), '-no-CApath', '-no-CAstore'];
    const verdict = await openssl(['verify', ...flags, '-CAfile', trusted, '-CRLfile', list, target]);
    assert.equal(verdict.code, code, verdict.output);
    if (serials.length > 0) assert.match(verdict.output, /certificate revoked/);
  }
});

test('the digest of a Debian list is that of the line in which openssl shows the modulus', { skip }, async () => {
  await using files = await makeFiles();
  const key = makeHolder('Debian', 'rsa-2048').key;
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const file = await files.write('key.pem', createPublicKey(key).export({ format: 'pem', type: 'spki' }));
  const { output } = await openssl(['rsa', '-pubin', '-in', file, '-noout', '-modulus']);
  assert.match(output, /^Modulus=[0-9A-F]{512}\n$/);
  assert.equal(debianKeyDigest(parseSubjectPublicKey(spki).keyOctets), hash('sha1', output, 'hex').slice(-20));
});
