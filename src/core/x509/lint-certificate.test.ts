import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeFields, makeHolder, TEST_NOW, certify } from '../../../test/support/make-certificate.ts';
import { parseIpAddress } from '../identity/ip-address.ts';
import { DAY_MS, SECOND_MS } from '../time/instant.ts';
import { buildTbsCertificate, type TbsFields } from './build-certificate.ts';
import { tags } from './der.ts';
import { constructed, encodeDer, nullValue, octetString, primitive, raw, sequence } from './der-writer.ts';
import { lintRules, lintTbsCertificate } from './lint-certificate.ts';
import { buildName, parseName } from './name.ts';
import { encodeOid, oids } from './oid.ts';
import { algorithmIdentifier } from './signature-algorithm.ts';

const [root, issuing, leaf, authority] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder(null), makeHolder('Below')];
const issuer = certify(issuing, root, true, { extendedKeyUsage: [oids.serverAuth, oids.clientAuth] });
const options = { now: TEST_NOW, exceptions: [] } as const;

/** The rules that the lint of these octets names. */
function broken(tbs: Uint8Array, by = issuer): readonly string[] {
  const result = lintTbsCertificate(tbs, by, options);
  return result.kind === 'clean' ? [] : result.findings.map(({ rule }) => rule);
}

const leafTbs = (changes: Partial<TbsFields> = {}): Uint8Array => buildTbsCertificate(makeFields(leaf, issuing, false, changes));
const authorityTbs = (changes: Partial<TbsFields> = {}): Uint8Array =>
  buildTbsCertificate(makeFields(authority, issuing, true, { extendedKeyUsage: [oids.serverAuth], ...changes }));

/** The certificate without its extensions of this kind, and others in their place. */
const without = (
  field: 'keyUsage' | 'subjectAltNames' | 'authorityKeyId',
  ...furtherExtensions: NonNullable<TbsFields['furtherExtensions']>
): Uint8Array => {
  const { [field]: _, ...fields } = makeFields(leaf, issuing, false);
  return buildTbsCertificate({ keyUsage: [], ...fields, furtherExtensions } as TbsFields);
};

test('certificates of this house are clean, and so is a root that signs itself', () => {
  assert.deepEqual(broken(leafTbs()), []);
  assert.deepEqual(broken(authorityTbs()), []);
  const rootTbs = buildTbsCertificate(makeFields(root, root, true));
  assert.equal(lintTbsCertificate(rootTbs, null, options).kind, 'clean');
});

test('each rule of the basic fields is broken by what it forbids', () => {
  const long = { notBefore: TEST_NOW - DAY_MS, notAfter: TEST_NOW + 2 * DAY_MS };
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['serial-positive', leafTbs({ serial: Uint8Array.of(0) })],
    ['serial-length', leafTbs({ serial: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) })],
    ['serial-length', leafTbs({ serial: new Uint8Array(20).fill(0xff) })],
    ['signature-algorithm', leafTbs({ signatureAlgorithm: 'ecdsa-sha384' })],
    ['signature-algorithm', leafTbs({ signatureAlgorithm: 'rsa-pkcs1-sha256' })],
    ['issuer-name', leafTbs({ issuer: buildName([[oids.commonName, 'issuing']]) })],
    ['issuer-name', leafTbs({ issuer: buildName([]) })],
    ['validity-order', leafTbs({ notBefore: TEST_NOW + SECOND_MS, notAfter: TEST_NOW })],
    ['validity-within-issuer', leafTbs(long)],
    ['validity-ended', leafTbs({ notAfter: TEST_NOW - 2 * SECOND_MS })],
    ['validity-not-begun', leafTbs({ notBefore: TEST_NOW + SECOND_MS })],
    ['validity-backdated', leafTbs({ notBefore: TEST_NOW - 3 * DAY_MS })],
    ['key-not-the-issuers', leafTbs({ spki: issuer.spki })],
  ];
  for (const [rule, tbs] of cases) assert.ok(broken(tbs).includes(rule), `${rule}: ${broken(tbs).join()}`);
});

test('each rule of the extensions is broken by what it forbids', () => {
  const keyUsage = { oid: oids.keyUsage, critical: false, value: Uint8Array.of(3, 2, 7, 0x80) };
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['key-usage', without('keyUsage')],
    ['key-usage', without('keyUsage', keyUsage)],
    ['key-usage', leafTbs({ keyUsage: ['digitalSignature', 'keyCertSign'] })],
    ['key-usage', leafTbs({ keyUsage: ['digitalSignature', 'keyEncipherment'] })],
    ['key-usage', leafTbs({ keyUsage: ['keyAgreement'] })],
    ['key-usage', authorityTbs({ keyUsage: ['cRLSign'] })],
    ['extended-key-usage', leafTbs({ extendedKeyUsage: [] })],
    ['extended-key-usage', leafTbs({ extendedKeyUsage: [oids.anyExtendedKeyUsage] })],
    ['extended-key-usage', leafTbs({ extendedKeyUsage: [oids.serverAuth, oids.clientAuth, oids.serverAuth] })],
    ['purposes-within-issuer', leafTbs({ extendedKeyUsage: [oids.serverAuth, oids.clientAuth, oids.codeSigning] })],
    ['authority-key-identifier', without('authorityKeyId')],
    ['authority-key-identifier', leafTbs({ authorityKeyId: Uint8Array.of(1, 2, 3) })],
    [
      'subject-key-identifier',
      buildTbsCertificate({ ...makeFields(authority, issuing, true), subjectKeyId: undefined } as unknown as TbsFields),
    ],
    ['name-constraints', leafTbs({ nameConstraints: { permitted: [{ kind: 'dns', name: 'acme.test' }], excluded: [] } })],
    ['crl-distribution-point', leafTbs({ crlUri: 'https://crl.acme.test/1.crl' })],
    ['crl-distribution-point', leafTbs({ crlUri: 'ldap://crl.acme.test/1.crl' })],
    ['issuer-uri', leafTbs({ issuerUri: 'https://ca.acme.test/1.cer' })],
    ['issuer-uri', leafTbs({ issuerUri: 'ldap://ca.acme.test/1.cer' })],
    ['no-revocation-available', leafTbs({ crlUri: 'http://crl.acme.test/1.crl', noRevAvail: true })],
    ['critical-known', leafTbs({ furtherExtensions: [{ oid: '1.2.3', critical: true, value: Uint8Array.of(5, 0) }] })],
    ['authority-subject', authorityTbs({ subject: buildName([]) })],
  ];
  for (const [rule, tbs] of cases) assert.ok(broken(tbs).includes(rule), `${rule}: ${broken(tbs).join()}`);
  assert.deepEqual(broken(leafTbs({ crlUri: 'http://crl.acme.test/1.crl' })), []);
  assert.deepEqual(broken(leafTbs({ noRevAvail: true, issuerUri: 'http://ca.acme.test/1.cer' })), []);
});

test('each rule of the names is broken by what it forbids', () => {
  const svid = 'spiffe://acme.test/production/orders';
  const teletex = parseName(
    encodeDer(sequence(constructed(tags.set, [sequence(raw(encodeOid(oids.organization)), primitive(tags.teletexString, 'Acme'))]))),
  );
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['subject-alt-name', without('subjectAltNames')],
    [
      'subject-alt-name',
      without('subjectAltNames', { oid: oids.subjectAltName, critical: false, value: encodeDer(sequence(primitive(0x82, 'a.test'))) }),
    ],
    ['subject-strings', leafTbs({ subject: teletex })],
    ['common-name', leafTbs({ subject: buildName([[oids.commonName, 'admin']]) })],
    ['dns-names', leafTbs({ subjectAltNames: { dns: ['A.acme.test'] } })],
    ['dns-names', leafTbs({ subjectAltNames: { dns: ['acme.test.'] } })],
    ['dns-names', leafTbs({ subjectAltNames: { dns: ['*.test'] } })],
    ['dns-names', leafTbs({ subjectAltNames: { dns: ['10.0.0.1'] } })],
    ['uris', leafTbs({ subjectAltNames: { uri: ['no-scheme'] } })],
    ['uris', leafTbs({ subjectAltNames: { uri: ['https://a b'] } })],
    ['names-distinct', leafTbs({ subjectAltNames: { dns: ['a.acme.test', 'a.acme.test'] } })],
    ['names-distinct', leafTbs({ subjectAltNames: { directory: [issuing.name] } })],
    ['svid-name', leafTbs({ subjectAltNames: { uri: [svid, 'https://acme.test'] } })],
    ['svid-name', leafTbs({ subjectAltNames: { uri: ['spiffe://acme.test'] } })],
    ['svid-name', leafTbs({ subjectAltNames: { uri: ['SPIFFE://acme.test/a'] } })],
    ['svid-authority', authorityTbs({ subjectAltNames: { uri: [svid] } })],
    ['svid-purposes', leafTbs({ extendedKeyUsage: [oids.clientAuth] })],
  ];
  for (const [rule, tbs] of cases) assert.ok(broken(tbs).includes(rule), `${rule}: ${broken(tbs).join()}`);
  const constrained = certify(issuing, root, true, { nameConstraints: { permitted: [{ kind: 'uri', host: 'other.test' }], excluded: [] } });
  assert.ok(broken(leafTbs(), constrained).includes('names-within-issuer'));
  const server = leafTbs({
    subjectAltNames: { dns: ['a.acme.test'], ip: [parseIpAddress('10.0.0.1')] },
    subject: buildName([[oids.commonName, 'a.acme.test']]),
    extendedKeyUsage: [oids.serverAuth],
  });
  assert.deepEqual(broken(server), []);
});

test('an issuer that may not sign is told', () => {
  assert.ok(broken(leafTbs(), certify(issuing, root, false)).includes('issuer-can-sign'));
  assert.ok(
    broken(authorityTbs(), certify(issuing, root, true, { basicConstraints: { ca: true, pathLength: 0 } })).includes('issuer-can-sign'),
  );
  const self = lintTbsCertificate(leafTbs(), null, options);
  assert.ok(self.kind === 'faulty' && self.findings.some(({ rule }) => rule === 'issuer-can-sign'));
});

test('times have the form of their year (RFC 5280 section 4.1.2.5)', () => {
  const { issuer: name, spki } = makeFields(leaf, issuing, false);
  const early = primitive(tags.generalizedTime, '20260601000000Z');
  const tbs = encodeDer(
    sequence(
      octetSerial,
      raw(algorithmIdentifier('ecdsa-sha256')),
      raw(name.der),
      sequence(early, primitive(tags.utcTime, '260602000000Z')),
      sequence(),
      raw(spki),
    ),
  );
  const rules = broken(tbs);
  assert.ok(rules.includes('validity-form'));
  assert.ok(rules.includes('version-3'), 'and version 1 is told');
  assert.ok(rules.includes('basic-constraints'));
});

test('octets that are no strict DER are told as such, and nothing else of them', () => {
  for (const tbs of [
    new Uint8Array(),
    leafTbs().subarray(1),
    Uint8Array.from([...leafTbs(), 0]),
    encodeDer(nullValue()),
    encodeDer(octetString(leafTbs())),
  ]) {
    assert.deepEqual(broken(tbs), ['der-strict']);
  }
});

test('an exception excuses its own rule and no other', () => {
  const expired = leafTbs({ notAfter: TEST_NOW - 2 * SECOND_MS, crlUri: 'ftp://crl.acme.test' });
  const result = lintTbsCertificate(expired, issuer, { now: TEST_NOW, exceptions: ['validity-ended'] });
  assert.ok(result.kind === 'faulty');
  assert.deepEqual(
    result.findings.map(({ rule }) => rule),
    ['crl-distribution-point'],
  );
});

test('every rule has an id of its own and a clause', () => {
  assert.equal(new Set(lintRules.map(({ id }) => id)).size, lintRules.length);
  for (const { id, clause } of lintRules) assert.match(clause, /RFC|BR|SPIFFE/, id);
});

const octetSerial = primitive(tags.integer, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
