import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { fullName, makeList, pointExtension, type TestList } from '../../../test/support/make-certificate-list.ts';
import { hasOpenssl, makeFiles, openssl } from '../../../test/support/openssl.ts';
import { DAY_MS } from '../time/instant.ts';
import { defaultPathLimits } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import type { CertificateList } from './certificate-list.ts';
import { contextPrimitive } from './der.ts';
import { encodeDer, oid, sequence, smallInteger } from './der-writer.ts';
import type { Extension } from './extensions.ts';
import { noPolicyDemands } from './judge-policies.ts';
import { oids } from './oid.ts';
import { encodePem } from './pem.ts';
import { validatePath } from './validate-path.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is not installed';
const [root, issuing, leaf, other] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder('Leaf'), makeHolder('Other')];
const pem = (...certificates: readonly Certificate[]): string => certificates.map(({ der }) => encodePem('CERTIFICATE', der)).join('');
const rootCertificate = certify(root, root, true);

type Case = {
  readonly issuing?: readonly Extension[];
  readonly leaf?: readonly Extension[];
  readonly lists?: (leafCertificate: Certificate) => readonly CertificateList[];
  /** Policies that suffice; an explicit one is demanded. */
  readonly policies?: readonly string[];
  readonly flags?: readonly ('-inhibit_any' | '-inhibit_map')[];
};

const [A, B] = ['1.2.3.1', '1.2.3.2'];
const policies = (...ids: readonly string[]): Extension => ({
  oid: oids.certificatePolicies,
  critical: false,
  value: encodeDer(sequence(...ids.map((id) => sequence(oid(id))))),
});
const maps = (from: string, to: string): Extension => ({
  oid: oids.policyMappings,
  critical: true,
  value: encodeDer(sequence(sequence(oid(from), oid(to)))),
});
const requires = (count: number): Extension => ({
  oid: oids.policyConstraints,
  critical: true,
  value: encodeDer(sequence(smallInteger(count, contextPrimitive(0)))),
});
const point = pointExtension({ name: fullName({ uri: ['http://lists.test/1'] }) });
const byIssuing =
  (list: TestList = {}) =>
  (): readonly CertificateList[] => [makeList(root), makeList(issuing, list)];
const revoking =
  (list: TestList = {}) =>
  (certificate: Certificate): readonly CertificateList[] => [makeList(root), makeList(issuing, { revoked: [{ certificate }], ...list })];

/** Chains on which both must agree, and what both must say. */
const cases: Readonly<Record<string, readonly ['accept' | 'reject', Case]>> = {
  'a policy that runs through': ['accept', { issuing: [policies(A)], leaf: [policies(A)], policies: [A] }],
  'a policy that nobody asked for': ['reject', { issuing: [policies(A)], leaf: [policies(A)], policies: [B] }],
  'no policy where one is demanded': ['reject', { policies: [A] }],
  'policies that differ': ['reject', { issuing: [policies(A)], leaf: [policies(B)], policies: [A, B] }],
  'any policy above': ['accept', { issuing: [policies(oids.anyPolicy)], leaf: [policies(A)], policies: [A] }],
  'any policy below': ['accept', { issuing: [policies(A)], leaf: [policies(oids.anyPolicy)], policies: [A] }],
  'any policy inhibited': ['reject', { issuing: [policies(A)], leaf: [policies(oids.anyPolicy)], policies: [A], flags: ['-inhibit_any'] }],
  'a policy that is mapped': ['accept', { issuing: [policies(A), maps(A, B)], leaf: [policies(B)], policies: [A] }],
  'a policy that is mapped away': ['reject', { issuing: [policies(A), maps(A, B)], leaf: [policies(A)], policies: [A] }],
  'a mapping inhibited': ['reject', { issuing: [policies(A), maps(A, B)], leaf: [policies(B)], policies: [A], flags: ['-inhibit_map'] }],
  'an authority that demands a policy': ['reject', { issuing: [policies(A), requires(0)] }],
  'an authority that demands one later': ['accept', { issuing: [requires(5)] }],
  'a certificate on no list': ['accept', { lists: byIssuing() }],
  'a certificate on the list': ['reject', { lists: revoking() }],
  'an authority without a list': ['reject', { lists: () => [makeList(root)] }],
  'a list that is over': ['reject', { lists: byIssuing({ thisUpdate: TEST_NOW - 2 * DAY_MS, nextUpdate: TEST_NOW - DAY_MS }) }],
  'a list to come': ['reject', { lists: byIssuing({ thisUpdate: TEST_NOW + DAY_MS, nextUpdate: TEST_NOW + 2 * DAY_MS }) }],
  'a list of another key': ['reject', { lists: () => [makeList(root), makeList({ name: issuing.name, key: other.key })] }],
  'a list for users': ['accept', { lists: byIssuing({ scope: { only: 'user' } }) }],
  'a list for authorities': ['reject', { lists: byIssuing({ scope: { only: 'authority' } }) }],
  'a list of the point': ['accept', { leaf: [point], lists: byIssuing({ scope: { name: fullName({ uri: ['http://lists.test/1'] }) } }) }],
  'a list of the point that revokes': [
    'reject',
    { leaf: [point], lists: revoking({ scope: { name: fullName({ uri: ['http://lists.test/1'] }) } }) },
  ],
  'a list of another point': [
    'reject',
    { leaf: [point], lists: byIssuing({ scope: { name: fullName({ uri: ['http://lists.test/2'] }) } }) },
  ],
  'a list for some reasons only': ['reject', { lists: byIssuing({ scope: { reasons: [1, 2] } }) }],
};

test('we and openssl agree on policies and lists', { skip }, async (t) => {
  await using files = await makeFiles();
  const anchors = await files.write('root.pem', pem(rootCertificate));
  for (const [what, [expected, given]] of Object.entries(cases)) {
    await t.test(what, async () => {
      const issuer = certify(issuing, root, true, {
        serial: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 1),
        furtherExtensions: given.issuing ?? [],
      });
      const end = certify(leaf, issuing, false, { furtherExtensions: given.leaf ?? [] });
      const lists = given.lists?.(end) ?? [];
      const args = [
        'verify',
        '-attime',
        String(TEST_NOW / 1000),
        '-CAfile',
        anchors,
        '-untrusted',
        await files.write('issuing.pem', pem(issuer)),
        ...(given.policies ? ['-policy_check', '-explicit_policy', ...given.policies.flatMap((id) => ['-policy', id])] : ['-policy_check']),
        ...(given.flags ?? []),
      ];
      if (lists.length > 0) {
        const listFile = await files.write('lists.pem', lists.map(({ der }) => encodePem('X509 CRL', der)).join(''));
        args.push('-crl_check_all', '-extended_crl', '-CRLfile', listFile);
      }
      const theirs = await openssl([...args, await files.write('leaf.pem', pem(end))]);
      assert.equal(theirs.code === 0 ? 'accept' : 'reject', expected, `openssl: ${theirs.output}`);
      const ours = validatePath({
        leaf: end,
        intermediates: [issuer],
        anchors: [rootCertificate],
        demands: {
          purposes: [],
          keyUsage: [],
          endEntity: false,
          policies: {
            ...noPolicyDemands,
            ...(given.policies ? { initial: new Set(given.policies), explicit: true } : {}),
            inhibitAny: given.flags?.includes('-inhibit_any') === true,
            inhibitMapping: given.flags?.includes('-inhibit_map') === true,
          },
          revocation: lists.length > 0,
          maxDepth: null,
          conformance: 'profile',
        },
        lists: lists.length > 0 ? lists : null,
        now: TEST_NOW,
        limits: defaultPathLimits,
      });
      assert.equal(ours.kind === 'valid' ? 'accept' : 'reject', expected, ours.kind === 'invalid' ? ours.detail : 'accepted');
    });
  }
});
