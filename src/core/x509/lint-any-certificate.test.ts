import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { DAY_MS } from '../time/instant.ts';
import type { TbsFields } from './build-certificate.ts';
import { encodeDer, oid, sequence } from './der-writer.ts';
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
  ];
  for (const [finding, changes] of cases) assert.ok(found(changes).includes(finding), `${finding}: ${found(changes).join()}`);
});

test('keys that are known to others are found', () => {
  assert.deepEqual(found({}, issuer, new Set([certify(leaf, issuing, false).spkiSha256])), ['warning key-blocked']);
});

test('every rule has an id of its own and names a clause', () => {
  assert.equal(new Set(anyLintRules.map(({ id }) => id)).size, anyLintRules.length);
  for (const { id, clause } of anyLintRules) assert.match(clause, /RFC|BR|SPIFFE|X\.\d/, id);
});
