import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeFields, makeHolder, signTbs, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { DAY_MS } from '../time/instant.ts';
import { buildTbsCertificate, type TbsFields } from './build-certificate.ts';
import { parseCertificate } from './certificate.ts';
import { tags } from './der.ts';
import { debianKeyDigest } from './debian-key-digest.ts';
import {
  bitString,
  type DerNode,
  encodeDer,
  nullValue,
  octetString,
  oid,
  primitive,
  sequence,
  smallInteger,
  unsignedInteger,
  utf8String,
} from './der-writer.ts';
import { generalNamesNode, uriNode } from './general-name.ts';
import { anyLintRules, lintAnyCertificate } from './lint-any-certificate.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';

const [root, issuing, leaf] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder(null)];
const issuer = certify(issuing, root, true, { extendedKeyUsage: [oids.serverAuth, oids.clientAuth] });
const none: ReadonlySet<string> = new Set();

/** `level rule` of every finding on a leaf with these changes. */
function found(changes: Partial<TbsFields> = {}, by: typeof issuer | null = issuer, blockedKeys = none): readonly string[] {
  const { der } = certify(leaf, issuing, false, changes);
  return lintAnyCertificate(der, { issuer: by, blockedKeys }).map(({ level, rule }) => `${level} ${rule}`);
}

const subject = (...parts: (readonly [string, string])[]): Partial<TbsFields> => ({ subject: buildName(parts) });
const extension = (id: string, critical: boolean, value: Uint8Array): Partial<TbsFields> => ({
  furtherExtensions: [{ oid: id, critical, value }],
});

const critical = (purpose: string): Partial<TbsFields> => ({
  extendedKeyUsage: [],
  ...extension(oids.extendedKeyUsage, true, encodeDer(sequence(oid(purpose)))),
});
const access = (...accesses: (readonly [string, string])[]): Partial<TbsFields> =>
  extension(oids.authorityInfoAccess, false, encodeDer(sequence(...accesses.map(([method, uri]) => sequence(oid(method), uriNode(uri))))));
const policy = (id: string, qualifier: string, value: DerNode): Partial<TbsFields> =>
  extension(oids.certificatePolicies, false, encodeDer(sequence(sequence(oid(id), sequence(sequence(oid(qualifier), value))))));
/** The same of an authority of servers and clients. */
const ofAuthority = (changes: Partial<TbsFields>, holder = leaf): readonly string[] => {
  const fields = { extendedKeyUsage: [oids.serverAuth, oids.clientAuth], ...changes };
  const der = signTbs(buildTbsCertificate(makeFields({ ...holder, name: root.name }, issuing, true, fields)), issuing);
  return lintAnyCertificate(der, { issuer, blockedKeys: none }).map(({ level, rule }) => `${level} ${rule}`);
};
const [ISSUER_ALT_NAME, TIMESTAMPS, OCSP] = ['2.5.29.18', '1.3.6.1.4.1.11129.2.4.2', '1.3.6.1.5.5.7.48.1'];
const [CPS, USER_NOTICE] = ['1.3.6.1.5.5.7.2.1', '1.3.6.1.5.5.7.2.2'];

test('certificates of this house have no findings, by a known issuer, by an unknown one, or by themselves', () => {
  assert.deepEqual(found(), []);
  assert.deepEqual(found({}, null), []);
  assert.deepEqual(lintAnyCertificate(certify(root, root, true).der, { issuer: null, blockedKeys: none }), []);
});

test('what is no certificate is one finding', () => {
  assert.deepEqual(
    lintAnyCertificate(Uint8Array.of(0x30, 0), { issuer: null, blockedKeys: none }).map(({ rule }) => rule),
    ['der-strict'],
  );
});

test('an issuer that did not sign it is a finding', () => {
  assert.ok(found({}, certify({ name: issuing.name, key: root.key }, root, true)).includes('error signature'));
});

test('each rule for certificates of others is broken by what it forbids', () => {
  const long = 'x'.repeat(65);
  const cases: readonly (readonly [string, Partial<TbsFields>])[] = [
    ['error subject-lengths', subject([oids.commonName, long])],
    ['warning subject-values', subject([oids.organization, ' Acme'])],
    ['warning subject-values', subject([oids.organization, ''])],
    ['error country', subject([oids.country, 'de'])],
    ['error printable-strings', subject([oids.country, 'D_'])],
    ['error ia5-attributes', subject([oids.emailAddress, 'a@acme.test'])],
    ['error mail-addresses', { subjectAltNames: { email: ['not a mailbox'] } }],
    ['error names-repeated', { subjectAltNames: { dns: ['a.acme.test', 'A.acme.test'] } }],
    ['warning validity-of-servers', { notBefore: TEST_NOW, notAfter: TEST_NOW + 250 * DAY_MS }],
    ['error extension-critical', extension(oids.inhibitAnyPolicy, false, Uint8Array.of(2, 1, 0))],
    ['error extension-not-critical', extension(oids.freshestCrl, true, Uint8Array.of(5, 0))],
    ['error policies', extension(oids.certificatePolicies, false, encodeDer(sequence()))],
    ['error policies', extension(oids.policyMappings, false, encodeDer(sequence(sequence(oid('1.2.3'), oid(oids.anyPolicy)))))],
    ['error policies-of-authorities', extension(oids.policyMappings, false, encodeDer(sequence(sequence(oid('1.2.3'), oid('1.2.4')))))],
    ['error purposes-and-usage', { keyUsage: ['nonRepudiation'] }],
    ['error usage-of-key', { keyUsage: ['digitalSignature', 'keyEncipherment'] }],
    ['error usage-only-with-agreement', { keyUsage: ['digitalSignature', 'encipherOnly'] }],
    ['error information-access', { issuerUri: 'issuer.der' }],
    ['error information-access', extension(oids.authorityInfoAccess, false, Uint8Array.of(5, 0))],
    ['warning information-access-http', { issuerUri: 'https://acme.test/issuer.der' }],
    ['error distribution-points', { crlUri: 'list.crl' }],
    ['warning distribution-points-http', { crlUri: 'ldap://acme.test/list' }],
    ['warning server-purposes', { extendedKeyUsage: [oids.serverAuth, oids.codeSigning] }],
    ['error ocsp-signer', { extendedKeyUsage: [oids.ocspSigning] }],
    ['warning serial-length', { serial: Uint8Array.of(1) }],
    ['warning subject-values', subject([oids.organization, '-'])],
    ['error issuer-present', { issuer: buildName([]) }],
    ['error extension-empty', extension(oids.freshestCrl, false, encodeDer(sequence()))],
    ['error issuer-alt-name', extension(ISSUER_ALT_NAME, false, encodeDer(generalNamesNode({ dns: ['a b'] })))],
    ['error issuer-alt-name', extension(ISSUER_ALT_NAME, false, encodeDer(generalNamesNode({ email: ['a'] })))],
    ['error issuer-alt-name', extension(ISSUER_ALT_NAME, false, encodeDer(generalNamesNode({ uri: ['list.html'] })))],
    ['error uri-hosts', extension(ISSUER_ALT_NAME, false, encodeDer(generalNamesNode({ uri: ['https://host/'] })))],
    ['error uri-hosts', { subjectAltNames: { uri: ['https://local_host/a'] } }],
    ['error mail-in-alternative-name', subject([oids.emailAddress, 'a@acme.test'])],
    ['warning purposes-critical', critical(oids.serverAuth)],
    ['warning purposes-critical', critical(oids.anyExtendedKeyUsage)],
    ['warning information-access-methods', access([OCSP, 'http://a.test/1'], ['1.2.3', 'http://a.test/2'])],
    ['warning information-access-methods', access([OCSP, 'http://a.test/1'], [OCSP, 'http://a.test/1'])],
    ['warning single-attributes', subject([oids.organization, 'A'], [oids.organization, 'B'])],
    ['error reserved-labels', { subjectAltNames: { dns: ['ab--c.acme.test'] } }],
    ['error timestamps', extension(TIMESTAMPS, false, encodeDer(octetString(Uint8Array.of(0, 0))))],
    ['error timestamps', extension(TIMESTAMPS, false, encodeDer(octetString(Uint8Array.of(0, 4, 0, 3, 1, 1))))],
    ['error any-policy-qualifiers', policy(oids.anyPolicy, '1.2.3', sequence())],
    ['error policy-notice', policy('1.2.3', USER_NOTICE, sequence(primitive(tags.ia5String, 'text')))],
    ['error policy-notice', policy('1.2.3', USER_NOTICE, sequence(utf8String('x'.repeat(201))))],
    ['warning policy-notice-form', policy('1.2.3', USER_NOTICE, sequence(primitive(tags.printableString, 'text')))],
    ['warning policy-notice-form', policy('1.2.3', USER_NOTICE, sequence(utf8String('a\u0301')))],
    ['warning policy-notice-form', policy('1.2.3', USER_NOTICE, sequence(utf8String('a\nb')))],
    ['warning policy-notice-form', policy('1.2.3', USER_NOTICE, sequence(sequence(utf8String('Acme'), sequence()), utf8String('a')))],
    ['warning policy-statement', policy('1.2.3', CPS, primitive(tags.ia5String, 'ldap://acme.test'))],
  ];
  for (const [finding, changes] of cases) assert.ok(found(changes).includes(finding), `${finding}: ${found(changes).join()}`);
});

test('each rule for authorities of others is broken by what it forbids', () => {
  const constraint = (base: DerNode): Partial<TbsFields> =>
    extension(oids.nameConstraints, true, encodeDer(sequence({ ...sequence(sequence(base)), tag: 0xa0 })));
  const cases: readonly (readonly [string, Partial<TbsFields>])[] = [
    ['error name-constraint-hosts', constraint(primitive(0x86, 'host'))],
    ['error name-constraint-hosts', constraint(primitive(0x86, 'http://a.test'))],
    ['error name-constraint-hosts', constraint(primitive(0x86, '10.0.0.1'))],
    ['error name-constraint-hosts', constraint(primitive(0x82, '.acme.test'))],
    ['warning name-constraint-kinds', constraint(primitive(0x88, Uint8Array.of(0x2a, 3)))],
    ['error der-strict', constraint(primitive(0x87, Uint8Array.of(10, 0, 0, 0, 255, 0, 255, 0)))],
    ['warning authority-purposes', { extendedKeyUsage: [oids.serverAuth, oids.codeSigning] }],
    ['warning policy-mappings-asserted', extension(oids.policyMappings, true, encodeDer(sequence(sequence(oid('1.2.3'), oid('1.2.4')))))],
  ];
  assert.deepEqual(ofAuthority({}), []);
  for (const [finding, changes] of cases) assert.ok(ofAuthority(changes).includes(finding), `${finding}: ${ofAuthority(changes).join()}`);
  const enciphering = { keyUsage: ['keyCertSign', 'keyEncipherment'] } as const;
  assert.ok(ofAuthority(enciphering, makeHolder('RSA', 'rsa-2048')).includes('warning usage-beside-signing'));
});

test('a fault of form whose meaning is clear hides no other finding, and is still refused where it is to be trusted', () => {
  const bits = { oid: oids.keyUsage, critical: false, value: Uint8Array.of(3, 2, 0, 0x20) };
  const fields = makeFields(leaf, issuing, false, { keyUsage: [], furtherExtensions: [bits], serial: Uint8Array.of(1) });
  const der = signTbs(buildTbsCertificate(fields), issuing);
  const rules = lintAnyCertificate(der, { issuer, blockedKeys: none }).map(({ rule }) => rule);
  assert.deepEqual(rules.slice(0, 1), ['der-strict']);
  for (const rule of ['serial-length', 'key-usage', 'usage-of-key']) assert.ok(rules.includes(rule), rule);
  assert.ok(!rules.includes('signature'));
  assert.throws(() => parseCertificate(der), { code: 'der-malformed' });
});

/** A key of this modulus. */
const weak = (modulus: bigint): Partial<TbsFields> => {
  const key = sequence(unsignedInteger(Buffer.from(modulus.toString(16).padStart(512, '0'), 'hex')), smallInteger(65_537));
  const algorithm = sequence(oid('1.2.840.113549.1.1.1'), nullValue());
  return { spki: encodeDer(sequence(algorithm, bitString(encodeDer(key)))) };
};

test('weak RSA keys are found by the lint as well', () => {
  // A prime: its square is the closest that two primes can be.
  const close = (2n ** 1024n - 105n) ** 2n;
  assert.ok(found(weak(751n * (2n ** 2038n + 1n))).includes('warning key-small-factor'));
  assert.ok(found(weak(close)).includes('warning key-close-primes'), found(weak(close)).join());
});

test('a key of a Debian list is found (CVE-2008-0166)', () => {
  const rsa = makeHolder(null, 'rsa-2048');
  const { der, keyOctets } = certify(rsa, issuing, false);
  const rules = (blockedKeys: ReadonlySet<string>): readonly string[] =>
    lintAnyCertificate(der, { issuer, blockedKeys }).map(({ rule }) => rule);
  assert.ok(rules(new Set([debianKeyDigest(keyOctets)])).includes('key-debian'));
  assert.ok(!rules(new Set(['0'.repeat(20)])).includes('key-debian'));
});

test('keys that are known to others are found', () => {
  assert.deepEqual(found({}, issuer, new Set([certify(leaf, issuing, false).spkiSha256])), ['warning key-blocked']);
});

test('every rule has an id of its own and names a clause', () => {
  assert.equal(new Set(anyLintRules.map(({ id }) => id)).size, anyLintRules.length);
  for (const { id, clause } of anyLintRules) assert.match(clause, /RFC|BR|SPIFFE|X\.\d/, id);
});
