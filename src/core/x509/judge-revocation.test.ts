import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, TEST_NOW, type TestHolder } from '../../../test/support/make-certificate.ts';
import { fullName, makeList, pointExtension, relativeName, type TestList } from '../../../test/support/make-certificate-list.ts';
import { DAY_MS } from '../time/instant.ts';
import type { TbsFields } from './build-certificate.ts';
import { extensionNode } from './build-certificate.ts';
import { defaultPathLimits } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import type { CertificateList } from './certificate-list.ts';
import { nullValue } from './der-writer.ts';
import type { PathDemands } from './judge-path.ts';
import { noPolicyDemands } from './judge-policies.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { validatePath } from './validate-path.ts';

const holder = (name: string, key: TestHolder['key']): TestHolder => ({ name: buildName([[oids.commonName, name]]), key });
const [root, issuing, leaf, other, lister] = ['Root', 'Issuing', 'Leaf', 'Other', 'Lister'].map((name) => makeHolder(name));
const serial = (number: number): Uint8Array => Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, number);
const rootCertificate = certify(root!, root!, true);
const issuingCertificate = certify(issuing!, root!, true, { serial: serial(1) });
const leafCertificate = certify(leaf!, issuing!, false, { serial: serial(2) });
const pointed = (...points: Parameters<typeof pointExtension>): Certificate =>
  certify(leaf!, issuing!, false, { serial: serial(2), furtherExtensions: [pointExtension(...points)] });
const rootList = makeList(root!);
const demands: PathDemands = {
  purposes: [],
  keyUsage: [],
  endEntity: false,
  policies: noPolicyDemands,
  revocation: true,
  maxDepth: null,
  conformance: 'profile',
};

type Given = {
  readonly leaf?: Certificate;
  readonly others?: readonly Certificate[];
  readonly issuing?: Certificate;
};

/** The verdict on leaf, issuing and root with the root's list and these. */
function status(lists: readonly CertificateList[], given: Given = {}, limits = defaultPathLimits): string {
  const verdict = validatePath({
    leaf: given.leaf ?? leafCertificate,
    intermediates: [given.issuing ?? issuingCertificate, ...(given.others ?? [])],
    anchors: [rootCertificate],
    demands,
    lists,
    now: TEST_NOW,
    limits,
  });
  return verdict.kind === 'valid' ? 'valid' : verdict.reason;
}

const withRoot = (list: TestList): string => status([rootList, makeList(issuing!, list)]);
const uri = (text: string): { name: ReturnType<typeof fullName> } => ({ name: fullName({ uri: [text] }) });
const base = (list: TestList = {}): CertificateList => makeList(issuing!, { number: 5, ...list });
const delta = (list: TestList = {}): CertificateList => makeList(issuing!, { number: 7, deltaBase: 5, ...list });
const revoked = [{ certificate: leafCertificate }];
const revokesLeaf = { revoked };

test('a certificate on the list of its issuer is revoked, and so is one whose issuer is', () => {
  assert.equal(withRoot({}), 'valid');
  assert.equal(withRoot(revokesLeaf), 'revoked');
  assert.equal(status([makeList(root!, { revoked: [{ certificate: issuingCertificate }] }), makeList(issuing!)]), 'revoked');
  assert.equal(withRoot({ revoked: [{ certificate: leafCertificate, reason: 'certificateHold' }] }), 'revoked');
  assert.equal(
    withRoot({ revoked: [{ certificate: leafCertificate, reason: 'removeFromCRL' }] }),
    'revoked',
    'outside a delta it takes nothing back',
  );
  assert.equal(withRoot({ revoked: [{ certificate: certify(leaf!, issuing!, false, { serial: serial(9) }) }] }), 'valid', 'another serial');
});

test('where lists are given, every status has to be known (RFC 5280 section 6.3.3)', () => {
  assert.equal(status([rootList]), 'revocation-unknown', 'nothing of the issuing authority');
  assert.equal(status([makeList(issuing!)]), 'revocation-unknown', 'nothing of the root');
  assert.equal(status([makeList(other!)]), 'revocation-unknown', 'a stranger’s list tells nothing');
  assert.equal(status([]), 'revocation-unknown', 'nor do lists that could not be read');
  assert.equal(status([rootList, makeList(issuing!), makeList(other!, revokesLeaf)]), 'valid', 'a stranger’s list of the same serial');
});

test('a list proves nothing that is not begun, over, without end, or changed', () => {
  assert.equal(withRoot({ thisUpdate: TEST_NOW + DAY_MS, nextUpdate: TEST_NOW + 2 * DAY_MS }), 'revocation-unknown');
  assert.equal(withRoot({ thisUpdate: TEST_NOW - 2 * DAY_MS, nextUpdate: TEST_NOW - 1000 }), 'revocation-unknown');
  assert.equal(withRoot({ nextUpdate: TEST_NOW }), 'valid', 'the last second belongs to it');
  assert.equal(withRoot({ nextUpdate: null }), 'revocation-unknown');
  const impostor = holder('Issuing', other!.key);
  assert.equal(status([rootList, makeList(impostor)]), 'revocation-unknown', 'the name, and not the key');
  assert.equal(status([rootList, makeList(holder('Other', issuing!.key))]), 'revocation-unknown', 'the key, and not the name');
  assert.equal(status([rootList, makeList(impostor, revokesLeaf), makeList(issuing!)]), 'valid', 'a forged one revokes nothing');
});

test('of several lists the newest counts', () => {
  const older = { thisUpdate: TEST_NOW - 2 * DAY_MS, number: 4 };
  assert.equal(status([rootList, makeList(issuing!, { ...older, ...revokesLeaf }), makeList(issuing!)]), 'valid', 'no longer on hold');
  assert.equal(status([rootList, makeList(issuing!, older), makeList(issuing!, revokesLeaf)]), 'revoked');
  assert.equal(
    status([rootList, makeList(issuing!, { number: 4, ...revokesLeaf }), makeList(issuing!)]),
    'valid',
    'by number at the same time',
  );
});

test('a list with critical extensions that nobody knows is not used (RFC 5280 section 5.2, 5.3)', () => {
  const strange = extensionNode('1.2.3.4', true, nullValue());
  assert.equal(withRoot({ extensions: [strange] }), 'revocation-unknown');
  assert.equal(
    withRoot({ revoked: [{ certificate: rootCertificate, extension: strange }] }),
    'revocation-unknown',
    'an entry for somebody else',
  );
  assert.equal(withRoot({ extensions: [extensionNode('1.2.3.4', false, nullValue())] }), 'valid');
  assert.equal(withRoot({ number: null }), 'revocation-unknown', 'without its number');
  assert.equal(withRoot({ numberCritical: true }), 'revocation-unknown', 'with a critical number');
});

test('a list of version 1 counts as well (RFC 5280 section 5)', () => {
  assert.equal(status([rootList, makeList(issuing!, { version: 1 })]), 'valid');
  assert.equal(status([rootList, makeList(issuing!, { version: 1, ...revokesLeaf })]), 'revoked');
  assert.equal(status([rootList, makeList(issuing!, { version: 1, nextUpdate: null })]), 'revocation-unknown', 'without an end');
  assert.equal(status([rootList, makeList(holder('Issuing', other!.key), { version: 1 })]), 'revocation-unknown', 'forged');
});

test('the issuer must be allowed to sign lists (RFC 5280 section 6.3.3 (f))', () => {
  const lists = [rootList, makeList(issuing!)];
  assert.equal(status(lists, { issuing: certify(issuing!, root!, true, { keyUsage: ['keyCertSign'] }) }), 'revocation-unknown');
  assert.equal(status(lists, { issuing: certify(issuing!, root!, true, { keyUsage: [] }) }), 'valid', 'without key usage it may');
});

test('a second key of the issuer may sign its lists, if its certificate chains to the same anchor and is not revoked', () => {
  const signer = holder('Issuing', lister!.key);
  const [list, revoking] = [makeList(signer), makeList(signer, revokesLeaf)];
  const listing: Partial<TbsFields> = { keyUsage: ['cRLSign'], serial: serial(7) };
  const signerCertificate = certify(signer, root!, false, listing);
  assert.equal(status([rootList, list], { others: [signerCertificate] }), 'valid');
  assert.equal(status([rootList, revoking], { others: [signerCertificate] }), 'revoked');
  assert.equal(status([rootList, list]), 'revocation-unknown', 'without its certificate');
  assert.equal(
    status([makeList(root!, { revoked: [{ certificate: signerCertificate }] }), list], { others: [signerCertificate] }),
    'revocation-unknown',
  );
  for (const changes of [
    { keyUsage: ['digitalSignature'] },
    { notBefore: TEST_NOW - 3 * DAY_MS, notAfter: TEST_NOW - DAY_MS },
  ] satisfies readonly Partial<TbsFields>[]) {
    assert.equal(status([rootList, list], { others: [certify(signer, root!, false, { ...listing, ...changes })] }), 'revocation-unknown');
  }
  const foreign = certify(signer, other!, false, listing);
  assert.equal(status([rootList, list], { others: [foreign, certify(other!, other!, true)] }), 'revocation-unknown', 'another anchor');
  const asLeaf = certify(leaf!, signer, false, { serial: serial(3) });
  assert.notEqual(status([rootList, list], { leaf: asLeaf, others: [signerCertificate] }), 'valid', 'it may not issue certificates');
});

test('lists for users or authorities only cover no others (RFC 5280 section 6.3.3 (b)(2))', () => {
  assert.equal(withRoot({ scope: { only: 'user' } }), 'valid');
  assert.equal(withRoot({ scope: { only: 'user' }, ...revokesLeaf }), 'revoked');
  assert.equal(withRoot({ scope: { only: 'authority' } }), 'revocation-unknown');
  assert.equal(withRoot({ scope: { only: 'attribute' } }), 'revocation-unknown');
  assert.equal(status([makeList(root!, { scope: { only: 'user' } }), makeList(issuing!)]), 'revocation-unknown');
  assert.equal(status([makeList(root!, { scope: { only: 'authority' } }), makeList(issuing!)]), 'valid');
});

test("a named point must be one of the certificate's (RFC 5280 section 6.3.3 (b)(2)(i))", () => {
  const scoped = (text: string, list: TestList = {}): CertificateList[] => [rootList, makeList(issuing!, { scope: uri(text), ...list })];
  assert.equal(status(scoped('http://a/1'), { leaf: pointed(uri('http://a/1')) }), 'valid');
  assert.equal(status(scoped('http://a/1', revokesLeaf), { leaf: pointed(uri('http://a/1')) }), 'revoked');
  assert.equal(status(scoped('http://a/2'), { leaf: pointed(uri('http://a/1')) }), 'revocation-unknown', 'another shard');
  assert.equal(status(scoped('http://a/1')), 'revocation-unknown', 'a certificate without a point');
  assert.equal(status([rootList, makeList(issuing!)], { leaf: pointed(uri('http://a/1')) }), 'valid', 'a list for all points');
  const place = buildName([
    [oids.commonName, 'Issuing'],
    [oids.organizationalUnit, 'Lists'],
  ]);
  const directory = { name: fullName({ directory: [place] }) };
  const relative = { name: relativeName(place) };
  for (const [ofList, ofLeaf] of [
    [directory, relative],
    [relative, directory],
    [relative, relative],
  ] as const) {
    assert.equal(status([rootList, makeList(issuing!, { scope: ofList })], { leaf: pointed(ofLeaf) }), 'valid');
  }
  assert.equal(status([rootList, makeList(issuing!, { scope: relative })], { leaf: pointed(uri('http://a/1')) }), 'revocation-unknown');
});

test('a critical distribution point is acted upon where lists are, and nowhere else', () => {
  const critical = pointed({ name: fullName({ uri: ['http://a/1'] }) }, true);
  assert.equal(status([rootList, makeList(issuing!)], { leaf: critical }), 'valid');
  assert.equal(status([makeList(other!)], { leaf: critical }), 'revocation-unknown');
});

test('lists for some reasons count together (RFC 5280 section 6.3.3 (d), (e), (l))', () => {
  const [some, rest, all] = [
    [1, 2],
    [3, 4, 5, 6, 7, 8],
    [1, 2, 3, 4, 5, 6, 7, 8],
  ];
  const lists = (...masks: readonly (readonly number[])[]): CertificateList[] => [
    rootList,
    ...masks.map((reasons) => makeList(issuing!, { scope: { reasons } })),
  ];
  assert.equal(status(lists(some, rest)), 'valid');
  assert.equal(status(lists(all)), 'valid');
  assert.equal(status(lists(some)), 'revocation-unknown');
  assert.equal(status(lists(rest)), 'revocation-unknown');
  const entry = { revoked: [{ certificate: leafCertificate, reason: 'keyCompromise' as const }] };
  assert.equal(status([...lists(rest), makeList(issuing!, { scope: { reasons: some }, ...entry })]), 'revoked');
  const uri = fullName({ uri: ['http://a/1'] });
  const narrow = pointed({ name: uri, reasons: some });
  assert.equal(
    status([rootList, makeList(issuing!, { scope: { name: uri } })], { leaf: narrow }),
    'revocation-unknown',
    'the point covers some only',
  );
});

test('an indirect list says whose certificate each entry is about (RFC 5280 section 5.3.3)', () => {
  const listerCertificate = certify(lister!, root!, false, { keyUsage: ['cRLSign'], serial: serial(8) });
  const leafOf = pointed({ name: fullName({ uri: ['http://l/1'] }), crlIssuer: lister!.name });
  const lists = (list: TestList): CertificateList[] => [rootList, makeList(lister!, { scope: { indirect: true }, ...list })];
  const given = { leaf: leafOf, others: [listerCertificate] };
  const about = { certificate: leafCertificate, of: issuing!.name };
  assert.equal(status(lists({}), given), 'valid');
  assert.equal(status(lists({ revoked: [about] }), given), 'revoked');
  assert.equal(status(lists({ revoked: [{ certificate: leafCertificate }] }), given), 'valid', 'the serial of the list issuer’s own');
  assert.equal(status(lists({ revoked: [{ ...about, of: other!.name }] }), given), 'valid', 'another issuer');
  assert.equal(
    status(lists({ revoked: [{ certificate: rootCertificate, of: issuing!.name }, { certificate: leafCertificate }] }), given),
    'revoked',
    'the issuer stays until another is named',
  );
  assert.equal(
    status(
      lists({
        revoked: [
          { certificate: rootCertificate, of: issuing!.name },
          { certificate: leafCertificate, of: other!.name },
        ],
      }),
      given,
    ),
    'valid',
  );
  assert.equal(status([rootList, makeList(lister!)], given), 'revocation-unknown', 'not an indirect list');
  assert.equal(status(lists({}), { ...given, leaf: leafCertificate }), 'revocation-unknown', 'the certificate does not name that issuer');
  assert.equal(status(lists({}), { leaf: leafOf }), 'revocation-unknown', 'without the certificate of the signer');
});

test('an indirect issuer may stand on its own list', () => {
  const listerCertificate = certify(lister!, root!, false, {
    keyUsage: ['cRLSign'],
    serial: serial(8),
    furtherExtensions: [pointExtension({ crlIssuer: lister!.name })],
  });
  const given = { leaf: pointed({ crlIssuer: lister!.name }), others: [listerCertificate] };
  const list = (revokedOnes: TestList['revoked'] = []): CertificateList =>
    makeList(lister!, { scope: { indirect: true }, revoked: revokedOnes });
  const forIssuing = makeList(root!);
  assert.equal(status([forIssuing, list()], given), 'valid');
  assert.equal(status([forIssuing, list([{ certificate: leafCertificate, of: issuing!.name }])], given), 'revoked');
});

test('a delta is read over the complete list that it builds on (RFC 5280 section 5.2.4)', () => {
  const removed = { revoked: [{ certificate: leafCertificate, reason: 'removeFromCRL' as const }] };
  assert.equal(status([rootList, base(), delta()]), 'valid');
  assert.equal(status([rootList, base(), delta(revokesLeaf)]), 'revoked');
  assert.equal(status([rootList, base(revokesLeaf), delta()]), 'revoked');
  assert.equal(status([rootList, base(revokesLeaf), delta(removed)]), 'valid', 'taken back');
  assert.equal(status([rootList, delta()]), 'revocation-unknown', 'a delta alone');
  assert.equal(status([rootList, base(), delta({ deltaBase: 6, ...revokesLeaf })]), 'valid', 'of a later base');
  assert.equal(status([rootList, base(), delta({ deltaBase: 3, ...revokesLeaf })]), 'revoked', 'of an earlier base');
  assert.equal(status([rootList, base(), delta({ number: 4, deltaBase: 3, ...revokesLeaf })]), 'valid', 'older than the base');
  assert.equal(status([rootList, base(), delta({ scope: { only: 'user' }, ...revokesLeaf })]), 'valid', 'of another scope');
  const over = { thisUpdate: TEST_NOW - 3 * DAY_MS, nextUpdate: TEST_NOW - DAY_MS };
  assert.equal(status([rootList, base(over), delta()]), 'valid', 'both together are what a complete list of now would be');
  assert.equal(status([rootList, base(over), delta(over)]), 'revocation-unknown');
  assert.equal(status([rootList, base(over), delta({ deltaBase: 6 })]), 'revocation-unknown');
  assert.equal(
    status([rootList, base(), makeList(holder('Issuing', other!.key), { number: 7, deltaBase: 5, ...revokesLeaf })]),
    'valid',
    'forged',
  );
});

test('a revoked signer cannot vouch for itself with a newer list', () => {
  const signer = holder('Issuing', lister!.key);
  const signerCertificate = certify(signer, issuing!, false, { keyUsage: ['cRLSign'], serial: serial(7) });
  const own = makeList(signer, { thisUpdate: TEST_NOW, number: 9 });
  const honest = makeList(issuing!, { revoked: [{ certificate: signerCertificate }, { certificate: leafCertificate }] });
  assert.equal(status([rootList, own, honest], { others: [signerCertificate] }), 'revoked');
  assert.equal(status([rootList, own, makeList(issuing!)], { others: [signerCertificate] }), 'valid');
});

test('crowds of lists, points and signers end within the limits', () => {
  const signers = Array.from({ length: 30 }, (_, i) => holder('Issuing', makeHolder(`S${i}`).key));
  const forger = holder('Issuing', other!.key);
  const certificates = signers.map((signer) => certify(signer, forger, false, { keyUsage: ['cRLSign'] }));
  const lists = signers.map((signer) => makeList(signer));
  assert.equal(status([rootList, ...lists], { others: certificates }), 'limit-exceeded');
});
