import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, SECOND_MS } from '../time/instant.ts';
import { extensionNode } from './build-certificate.ts';
import {
  assembleCertificateList,
  buildTbsCertificateList,
  encodeRevokedEntry,
  type RevokedEntry,
  type TbsListFields,
} from './build-certificate-list.ts';
import { type CrlReason, crlReasons, isListSignedBy, parseCertificateList, parseTbsCertificateList } from './certificate-list.ts';
import { hexOf, tags } from './der.ts';
import {
  bitString,
  boolean,
  type DerNode,
  encodeDer,
  explicit,
  octetString,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from './der-writer.ts';
import { lintTbsCertificateList } from './lint-certificate-list.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier } from './signature-algorithm.ts';
import { generalizedTime, time } from './x509-time.ts';

const issuing = makeHolder('Issuing');
const issuer = certify(issuing, makeHolder('Root'), true);
const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';

const fields: TbsListFields = {
  signatureAlgorithm: 'ecdsa-sha256',
  issuer: issuing.name,
  thisUpdate: TEST_NOW,
  nextUpdate: TEST_NOW + DAY_MS,
  entries: [
    { serial: Buffer.from('0102030405060708090a', 'hex'), revokedAt: TEST_NOW - DAY_MS, reason: 'keyCompromise' },
    { serial: Buffer.from('00ff', 'hex'), revokedAt: TEST_NOW, reason: 'unspecified' },
  ],
  authorityKeyId: Buffer.from(issuer.subjectKeyId!, 'hex'),
  crlNumber: Uint8Array.of(0, 0, 7),
  distributionUri: 'http://crl.acme.test/1.crl',
};

const build = (changes: Partial<TbsListFields> = {}): Uint8Array => buildTbsCertificateList({ ...fields, ...changes });
const signed = (tbs: Uint8Array, by = issuing): Uint8Array => assembleCertificateList(tbs, 'ecdsa-sha256', sign('sha256', tbs, by.key));

function broken(tbs: Uint8Array, by = issuer): readonly string[] {
  const result = lintTbsCertificateList(tbs, by, { now: TEST_NOW });
  return result.kind === 'clean' ? [] : result.findings.map(({ rule }) => rule);
}

test('a list survives the round trip with the serials of the certificates, octet for octet', () => {
  const list = parseCertificateList(signed(build()));
  assert.deepEqual(list.revoked, [
    { serialHex: '0102030405060708090a', revokedAt: TEST_NOW - DAY_MS, reason: 'keyCompromise', certificateIssuer: null },
    { serialHex: '00ff', revokedAt: TEST_NOW, reason: 'unspecified', certificateIssuer: null },
  ]);
  assert.equal(list.issuer.text, 'CN=Issuing');
  assert.deepEqual([list.thisUpdate, list.nextUpdate], [TEST_NOW, TEST_NOW + DAY_MS]);
  assert.equal(list.crlNumber, '07');
  assert.deepEqual(list.scope?.uris, ['http://crl.acme.test/1.crl']);
  assert.equal(list.deltaBase, null);
  assert.deepEqual(list.unknownCritical, []);
  assert.ok(isListSignedBy(list, issuer));
});

test('an empty list has no list of entries, a delta names its base', () => {
  assert.deepEqual(parseCertificateList(signed(build({ entries: [] }))).revoked, []);
  assert.equal(parseCertificateList(signed(build({ deltaBase: Uint8Array.of(5) }))).deltaBase, '05');
  assert.deepEqual(broken(build({ entries: [] })), []);
});

test('every reason survives the round trip', () => {
  for (const reason of Object.keys(crlReasons) as CrlReason[]) {
    const entries = [{ serial: Uint8Array.of(1), revokedAt: TEST_NOW, reason }];
    assert.equal(parseCertificateList(signed(build({ entries }))).revoked[0]?.reason, reason);
  }
});

test('isListSignedBy() refuses another key, another name, and an authority that may not sign lists', () => {
  const list = parseCertificateList(signed(build()));
  assert.equal(isListSignedBy(list, certify(makeHolder('Issuing'), issuing, true)), false);
  assert.equal(isListSignedBy(parseCertificateList(signed(build({ issuer: buildName([[oids.commonName, 'Other']]) }))), issuer), false);
  assert.equal(isListSignedBy(list, certify(issuing, issuing, true, { keyUsage: ['keyCertSign'] })), false);
  const changed = Buffer.from(list.der);
  changed[changed.length - 1]! ^= 1;
  assert.equal(isListSignedBy(parseCertificateList(changed), issuer), false);
});

/** A list put together by hand, so that it can be wrong. */
function handmade({
  version = 1,
  entries,
  extensions,
  outer,
}: {
  version?: number | null;
  entries?: DerNode;
  extensions?: readonly DerNode[];
  outer?: DerNode;
}): Uint8Array {
  const algorithm = raw(algorithmIdentifier('ecdsa-sha256'));
  const tail = extensions ? [explicit(0, sequence(...extensions))] : [];
  const head = version === null ? [] : [smallInteger(version)];
  const tbs = sequence(...head, algorithm, raw(issuing.name.der), time(TEST_NOW), ...(entries ? [entries] : []), ...tail);
  return encodeDer(sequence(tbs, outer ?? algorithm, bitString(Uint8Array.of(0))));
}

const entry = (...extensions: readonly DerNode[]): DerNode =>
  sequence(sequence(smallInteger(1), time(TEST_NOW), ...(extensions.length > 0 ? [sequence(...extensions)] : [])));

const reason = (value: number): DerNode => extensionNode(oids.reasonCode, false, smallInteger(value, tags.enumerated));

const listed = (serial: number, revokedAt = TEST_NOW, reason: CrlReason = 'superseded'): TbsListFields['entries'][number] => ({
  serial: Uint8Array.of(serial),
  revokedAt,
  reason,
});

test('parseCertificateList() refuses what RFC 5280 section 5 does not allow', () => {
  const number = extensionNode(oids.crlNumber, false, smallInteger(1));
  const refused: Readonly<Record<string, Uint8Array>> = {
    'version 1 written out': handmade({ version: 0 }),
    'version 3': handmade({ version: 2 }),
    'extensions in version 1': handmade({ version: null, extensions: [number] }),
    'entry extensions in version 1': handmade({ version: null, entries: entry(reason(1)) }),
    'an empty list of entries': handmade({ entries: sequence() }),
    'reason 7': handmade({ entries: entry(reason(7)) }),
    'reason 11': handmade({ entries: entry(reason(11)) }),
    'a reason that is an integer': handmade({ entries: entry(extensionNode(oids.reasonCode, false, smallInteger(1))) }),
    'an entry extension twice': handmade({ entries: entry(reason(1), reason(1)) }),
    'a list extension twice': handmade({ extensions: [number, number] }),
    'empty extensions': handmade({ extensions: [] }),
    'another algorithm outside': handmade({ outer: raw(algorithmIdentifier('ed25519')) }),
    'an entry without a date': handmade({ entries: sequence(sequence(smallInteger(1))) }),
    'a number that is no integer': handmade({ extensions: [extensionNode(oids.crlNumber, false, octetString(Uint8Array.of(1)))] }),
    'a scope with FALSE written out': handmade({
      extensions: [extensionNode(oids.issuingDistributionPoint, true, sequence(primitive(0x81, '\0')))],
    }),
    'octets at the end': Uint8Array.from([...handmade({}), 0]),
  };
  for (const [name, der] of Object.entries(refused)) assert.throws(() => parseCertificateList(der), isMalformed, name);
  assert.equal(parseCertificateList(handmade({})).nextUpdate, null);
});

test('a list of version 1 is read (RFC 5280 section 5)', () => {
  const list = parseCertificateList(handmade({ version: null, entries: entry() }));
  assert.deepEqual([list.version, list.revoked.length, list.crlNumber], [1, 1, null]);
});

test('critical extensions of the list and of its entries are named', () => {
  const list = parseCertificateList(
    handmade({
      entries: entry(extensionNode(oids.invalidityDate, true, generalizedTime(TEST_NOW))),
      extensions: [sequence(oid('1.2.3'), boolean(true), octetString(Uint8Array.of(5, 0)))],
    }),
  );
  assert.deepEqual(list.unknownCritical.toSorted(), ['1.2.3', oids.invalidityDate]);
});

test('the lint names what may not be signed', () => {
  assert.deepEqual(broken(build()), []);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['crl-issuer', build({ issuer: buildName([[oids.commonName, 'issuing']]) })],
    ['crl-updates', build({ nextUpdate: TEST_NOW })],
    ['crl-updates', build({ thisUpdate: TEST_NOW + SECOND_MS })],
    ['crl-updates', build({ nextUpdate: TEST_NOW + 11 * DAY_MS })],
    ['crl-updates', handmadeTbs()],
    ['crl-authority-key-identifier', build({ authorityKeyId: Uint8Array.of(1) })],
    ['crl-number', build({ crlNumber: new Uint8Array(21).fill(1) })],
    ['crl-number', handmadeTbs()],
    ['crl-version', handmadeTbs(null)],
    ['crl-entries', build({ entries: [listed(1), listed(1)] })],
    ['crl-entries', build({ entries: [listed(1, TEST_NOW + SECOND_MS)] })],
    ['crl-entries', build({ entries: [listed(1, TEST_NOW, 'removeFromCRL')] })],
    ['der-strict', new Uint8Array(3)],
  ];
  for (const [rule, tbs] of cases) assert.ok(broken(tbs).includes(rule), `${rule}: ${broken(tbs).join()}`);
  assert.ok(broken(build(), certify(issuing, issuing, true, { keyUsage: ['keyCertSign'] })).includes('crl-issuer-can-sign'));
  assert.deepEqual(broken(build({ deltaBase: Uint8Array.of(5), entries: [listed(1, TEST_NOW, 'removeFromCRL')] })), []);
});

test('the lint passes over the entries that it found clean before, and over nothing else', () => {
  const held = Buffer.concat(fields.entries.map(encodeRevokedEntry));
  const lint = (entries: readonly RevokedEntry[], encodedEntries: Uint8Array, vetted: Uint8Array): readonly string[] => {
    const result = lintTbsCertificateList(build({ encodedEntries, entries }), issuer, { now: TEST_NOW, vetted });
    return result.kind === 'clean' ? [] : result.findings.map(({ rule }) => rule);
  };
  assert.deepEqual(lint([], held, held), [], 'nothing came');
  assert.deepEqual(lint([listed(1)], held, held), [], 'one came');
  assert.deepEqual(lint([listed(1), listed(1)], held, held), ['crl-entries'], 'one came twice');
  assert.deepEqual(lint([listed(1, TEST_NOW + SECOND_MS)], held, held), ['crl-entries'], 'one came before its time');
  assert.deepEqual(lint([fields.entries[0]!], held, held), ['crl-entries'], 'one came that was there');
  const late = encodeRevokedEntry(listed(2, TEST_NOW + SECOND_MS));
  for (const altered of [Buffer.concat([late, held]), Buffer.concat([held.subarray(0, -2), Buffer.of(0, 0)])]) {
    assert.notDeepEqual(lint([], altered, held), [], 'what stands there is not what was vetted');
  }
  assert.deepEqual(lint([], late, held), ['crl-entries'], 'shorter than what was vetted');
  assert.deepEqual(lint([], late, new Uint8Array(0)), ['crl-entries'], 'nothing was vetted');
  assert.deepEqual(
    parseTbsCertificateList(build({ encodedEntries: held, entries: [listed(1)] }), undefined, held).revoked.map(
      ({ serialHex }) => serialHex,
    ),
    [hexOf(listed(1).serial)],
  );
});

function handmadeTbs(version?: null): Uint8Array {
  return parseCertificateList(handmade(version === null ? { version } : {})).tbs;
}

test('changed and random octets are der-malformed or a list, never another error', () => {
  const good = signed(build());
  const changed = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, octet]) => Uint8Array.from(good).fill(octet, at, at + 1));
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 200 })), (der) => {
      try {
        parseCertificateList(der);
      } catch (error) {
        assert.ok(isMalformed(error), String(error));
      }
    }),
    { numRuns: 1_000 },
  );
});
