import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder, signTbs, TEST_NOW } from '../../../test/support/make-certificate.ts';
import type { TbsFields } from './build-certificate.ts';
import { defaultPathLimits } from './build-paths.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { contextPrimitive, DerReader, tags } from './der.ts';
import { bitString, constructed, encodeDer, octetString, oid, primitive, raw, sequence, smallInteger } from './der-writer.ts';
import type { PathDemands } from './judge-path.ts';
import { noPolicyDemands } from './judge-policies.ts';
import { lintAnyCertificate } from './lint-any-certificate.ts';
import { algorithmIdentifier } from './signature-algorithm.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { validatePath, type ValidationVerdict } from './validate-path.ts';

const [root, issuing, below, leaf] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder('Below'), makeHolder('Leaf')];
const rootCertificate = certify(root, root, true);
const issuingCertificate = certify(issuing, root, true);
const leafCertificate = certify(leaf, issuing, false);
const profile: PathDemands = {
  purposes: [],
  keyUsage: [],
  endEntity: false,
  policies: noPolicyDemands,
  revocation: false,
  maxDepth: null,
  conformance: 'profile',
};

type Case = {
  readonly leaf?: Certificate;
  readonly issuing?: Certificate;
  readonly root?: Certificate;
  readonly more?: readonly Certificate[];
};

function validate(given: Case = {}, demands: Partial<PathDemands> = {}): ValidationVerdict {
  return validatePath({
    leaf: given.leaf ?? leafCertificate,
    intermediates: [given.issuing ?? issuingCertificate, ...(given.more ?? [])],
    anchors: [given.root ?? rootCertificate],
    demands: { ...profile, ...demands },
    lists: null,
    now: TEST_NOW,
    limits: defaultPathLimits,
  });
}

const reasonOf = (verdict: ValidationVerdict): string => (verdict.kind === 'valid' ? 'valid' : verdict.reason);
const extension = (oid: string, critical: boolean, value: Uint8Array): Partial<TbsFields> => ({
  furtherExtensions: [{ oid, critical, value }],
});
/** Fields with one of them absent. */
const without = (field: 'authorityKeyId' | 'subjectKeyId'): Partial<TbsFields> => ({ [field]: undefined }) as Partial<TbsFields>;
const asLeaf = (changes: Partial<TbsFields>): Case => ({ leaf: certify(leaf, issuing, false, changes) });
const asIssuing = (changes: Partial<TbsFields>): Case => ({ issuing: certify(issuing, root, true, changes) });
const asRoot = (changes: Partial<TbsFields>): Case => ({ root: certify(root, root, true, changes) });

const only = { nameConstraints: { permitted: [{ kind: 'dns', name: 'acme.test' } as const], excluded: [] } };
const demandsNothing = encodeDer(sequence(smallInteger(9, contextPrimitive(0))));
const keyId = encodeDer(octetString(Uint8Array.of(1)));

/** What section 4 forbids and section 6 does not look at. */
const unconforming: Readonly<Record<string, Case>> = {
  'a leaf without authority key identifier': asLeaf(without('authorityKeyId')),
  'an authority without authority key identifier': asIssuing(without('authorityKeyId')),
  'an authority without subject key identifier': asIssuing(without('subjectKeyId')),
  'a root without subject key identifier': asRoot(without('subjectKeyId')),
  'a root whose key identifiers differ': asRoot({ authorityKeyId: Uint8Array.of(1) }),
  'an authority key identifier without key identifier': asLeaf({
    ...without('authorityKeyId'),
    ...extension(oids.authorityKeyIdentifier, false, encodeDer(sequence())),
  }),
  'name constraints in a leaf': asLeaf(only),
  'a leaf with keyCertSign that is no authority': asLeaf({ keyUsage: ['digitalSignature', 'keyCertSign'] }),
  'policy constraints that are not critical': asIssuing(extension(oids.policyConstraints, false, demandsNothing)),
  'inhibitAnyPolicy that is not critical': asIssuing(extension(oids.inhibitAnyPolicy, false, Uint8Array.of(2, 1, 0))),
  'malformed information access': asLeaf(extension(oids.authorityInfoAccess, false, Uint8Array.of(4, 1, 0))),
  'empty information access': asLeaf(extension(oids.authorityInfoAccess, false, encodeDer(sequence()))),
  'noRevAvail in an authority': asIssuing({ noRevAvail: true }),
  'an empty subject without critical alternative name': {
    leaf: certify(makeHolder(null), issuing, false, {
      subjectAltNames: undefined,
      ...extension(oids.subjectAltName, false, encodeDer(sequence(primitive(0x82, 'acme.test')))),
    } as unknown as Partial<TbsFields>),
  },
};

test('what RFC 5280 section 4 demands counts under the profile, and not under section 6 alone', () => {
  assert.equal(reasonOf(validate()), 'valid');
  for (const [what, given] of Object.entries(unconforming)) {
    assert.equal(reasonOf(validate(given)), 'chain-invalid', what);
    assert.equal(reasonOf(validate(given, { conformance: 'validation' })), 'valid', what);
  }
});

test('who asks for policies or lists is not held to key identifiers, keyCertSign of a leaf and critical constraints', () => {
  const explicit = { ...noPolicyDemands, initial: new Set([oids.anyPolicy]) };
  for (const what of [
    'a leaf without authority key identifier',
    'an authority without authority key identifier',
    'an authority without subject key identifier',
    'a root without subject key identifier',
    'a leaf with keyCertSign that is no authority',
    'policy constraints that are not critical',
  ])
    assert.equal(reasonOf(validate(unconforming[what], { policies: explicit })), 'valid', what);
  for (const what of ['name constraints in a leaf', 'a root whose key identifiers differ', 'noRevAvail in an authority'])
    assert.equal(reasonOf(validate(unconforming[what], { policies: explicit })), 'chain-invalid', what);
});

test('name constraints that are not critical count all the same (CA/B BR 7.1.2.5.2)', () => {
  const constraint = encodeDer(sequence({ ...sequence(sequence(primitive(0x82, 'acme.test'))), tag: 0xa0 }));
  const given = asIssuing(extension(oids.nameConstraints, false, constraint));
  assert.equal(reasonOf(validate(given)), 'valid');
  const names = (dns: string): Case => ({ ...given, leaf: certify(leaf, issuing, false, { subjectAltNames: { dns: [dns] } }) });
  assert.equal(reasonOf(validate(names('api.acme.test'))), 'valid');
  assert.equal(reasonOf(validate(names('api.other.test'))), 'chain-invalid');
});

test('key usage must allow something that the purpose needs, where a leaf says both (RFC 5280 section 4.2.1.12)', () => {
  const asked = { purposes: [oids.serverAuth] };
  for (const keyUsage of ['digitalSignature', 'keyEncipherment', 'keyAgreement'] as const)
    assert.equal(reasonOf(validate(asLeaf({ keyUsage: [keyUsage] }), asked)), 'valid', keyUsage);
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: ['dataEncipherment', 'nonRepudiation'] }), asked)), 'wrong-usage');
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: ['keyEncipherment'] }), { purposes: [oids.clientAuth] })), 'wrong-usage');
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: ['dataEncipherment'] }))), 'valid', 'no purpose is asked for');
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: ['dataEncipherment'], extendedKeyUsage: [] }), asked)), 'valid', 'no purpose is said');
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: [] }), asked)), 'valid', 'no key usage is said');
});

test('a leaf may have the name and the key of its issuer if its alternative names differ (RFC 4158 section 5.2)', () => {
  const twin = certify(issuing, issuing, false, { subjectAltNames: { dns: ['twin.acme.test'] } });
  assert.equal(reasonOf(validate({ leaf: twin })), 'valid');
  const loop = certify(issuing, issuing, true);
  assert.equal(reasonOf(validate({ leaf: loop })), 'unknown-authority', 'with the same names it is a loop');
});

/** The same without a signature, or with this one for show. */
const unsigned = (certificate: Certificate, signature = new Uint8Array()): Certificate => {
  const algorithm = encodeDer(sequence(oid(oids.unsigned)));
  const [held, tbs] = [algorithmIdentifier('ecdsa-sha256'), Buffer.from(certificate.tbs)];
  const at = tbs.indexOf(held);
  const body = DerReader.over(tbs).enter(tags.sequence).rest();
  const start = at - (tbs.length - body.length);
  const parts = [body.subarray(0, start), algorithm, body.subarray(start + held.length)];
  const outer = [constructed(tags.sequence, [raw(Buffer.concat(parts))]), raw(algorithm), bitString(signature)];
  return parseCertificate(encodeDer(sequence(...outer)));
};

test('an unsigned certificate is an anchor at most, and a lint reads it like any other (RFC 9925)', () => {
  const rules = (certificate: Certificate): readonly string[] =>
    lintAnyCertificate(certificate.der, { issuer: issuingCertificate, blockedKeys: new Set() }).map(({ rule }) => rule);
  assert.equal(reasonOf(validate({ root: unsigned(rootCertificate) })), 'valid');
  assert.equal(reasonOf(validate({ leaf: unsigned(leafCertificate) })), 'unknown-authority');
  assert.equal(reasonOf(validate({ issuing: unsigned(issuingCertificate) })), 'unknown-authority');
  assert.deepEqual(rules(unsigned(leafCertificate)), rules(leafCertificate));
  assert.ok(rules(unsigned(leafCertificate, Uint8Array.of(1))).includes('unsigned'));
});

test('what the profile does not hold against an issued certificate', () => {
  assert.equal(reasonOf(validate(asLeaf({ serial: Uint8Array.of(1) }))), 'valid', 'a short serial number');
  assert.equal(reasonOf(validate(asIssuing({ keyUsage: [] }))), 'valid', 'an authority without key usage');
  assert.equal(reasonOf(validate(asLeaf({ extendedKeyUsage: [oids.anyExtendedKeyUsage] }), { purposes: [oids.serverAuth] })), 'valid');
});

test('key identifiers that are critical are refused by section 6 already', () => {
  for (const conformance of ['profile', 'validation'] as const) {
    const subject = asIssuing({ ...without('subjectKeyId'), ...extension(oids.subjectKeyIdentifier, true, keyId) });
    assert.equal(reasonOf(validate(subject, { conformance })), 'chain-invalid');
  }
});

test('an authority may be the leaf unless an end entity is demanded', () => {
  const authority = { leaf: certify(below, issuing, true) };
  assert.equal(reasonOf(validate(authority)), 'valid');
  assert.equal(reasonOf(validate(authority, { endEntity: true })), 'chain-invalid');
  const limited = asIssuing({ basicConstraints: { ca: true, pathLength: 0 } });
  assert.equal(reasonOf(validate({ ...authority, ...limited })), 'valid', 'the last certificate of a path is not counted');
});

test('depth counts authorities below the anchor that are not self-issued', () => {
  const deep = { leaf: certify(leaf, below, false), more: [certify(below, issuing, true)] };
  for (const [maxDepth, expected] of [
    [0, 'chain-invalid'],
    [1, 'chain-invalid'],
    [2, 'valid'],
    [null, 'valid'],
  ] as const) {
    assert.equal(reasonOf(validate(deep, { maxDepth })), expected, String(maxDepth));
  }
  const rolled = { name: issuing.name, key: makeHolder('x').key };
  const selfIssued = { leaf: certify(leaf, rolled, false), more: [certify(rolled, issuing, true)] };
  assert.equal(reasonOf(validate(selfIssued, { maxDepth: 1 })), 'valid');
  assert.equal(reasonOf(validate({ leaf: certify(leaf, root, false) }, { maxDepth: 0 })), 'valid');
  assert.equal(reasonOf(validate({}, { maxDepth: 0 })), 'chain-invalid');
});

test('every purpose and key usage that is demanded has to be there', () => {
  const both = { purposes: [oids.serverAuth, oids.clientAuth] };
  assert.equal(reasonOf(validate({}, both)), 'valid');
  assert.equal(reasonOf(validate(asLeaf({ extendedKeyUsage: [oids.serverAuth] }), both)), 'wrong-usage');
  assert.equal(reasonOf(validate(asIssuing({ extendedKeyUsage: [oids.clientAuth] }), both)), 'wrong-usage');
  assert.equal(reasonOf(validate({}, { keyUsage: ['digitalSignature'] })), 'valid');
  assert.equal(reasonOf(validate({}, { keyUsage: ['keyAgreement'] })), 'wrong-usage');
  assert.equal(reasonOf(validate(asLeaf({ keyUsage: [] }), { keyUsage: ['keyAgreement'] })), 'valid', 'no key usage says nothing');
});

test('a negative serial number is taken, zero and more than 20 octets are not (RFC 5280 section 4.1.2.2)', () => {
  const tbs = Buffer.from(leafCertificate.tbs);
  tbs[tbs.indexOf(Buffer.from(leafCertificate.serial))] = 0x81;
  const negative = parseCertificate(signTbs(tbs, issuing));
  assert.ok(negative.serial[0]! >= 0x80);
  assert.equal(reasonOf(validate({ leaf: negative })), 'valid');
  assert.equal(reasonOf(validate(asLeaf({ serial: Uint8Array.of(0) }))), 'chain-invalid');
  assert.equal(reasonOf(validate(asLeaf({ serial: new Uint8Array(21).fill(1) }))), 'chain-invalid');
  assert.equal(reasonOf(validate(asLeaf({ serial: new Uint8Array(20).fill(1) }))), 'valid');
});

test('names of the issuer and the subject: empty ones are refused where they name nobody', () => {
  const nobody = { name: buildName([]), key: makeHolder('x').key };
  const given = { leaf: certify(leaf, nobody, false), issuing: certify(nobody, root, true) };
  assert.equal(reasonOf(validate(given)), 'chain-invalid');
});

test('any mesh of authorities ends within the limits', () => {
  const holders = Array.from({ length: 7 }, (_, i) => makeHolder(`Mesh ${i}`));
  const edge = fc.tuple(fc.nat(6), fc.nat(6));
  fc.assert(
    fc.property(fc.uniqueArray(edge, { maxLength: 40, selector: String }), fc.boolean(), (edges, anchored) => {
      const mesh = edges.map(([a, b]) => certify(holders[a]!, holders[b]!, true));
      const leafOfMesh = certify(leaf, holders[0]!, false);
      const link = anchored ? [certify(holders[6]!, root, true)] : [];
      const limits = { ...defaultPathLimits, maxSignatures: 30, maxSteps: 200 };
      const verdict = validatePath({
        leaf: leafOfMesh,
        intermediates: [...mesh, ...link],
        anchors: [rootCertificate],
        demands: profile,
        lists: null,
        now: TEST_NOW,
        limits,
      });
      const reached = new Set([0]);
      for (let round = 0; round < 7; round++) for (const [a, b] of edges) if (reached.has(a)) reached.add(b);
      if (verdict.kind === 'valid') assert.ok(anchored && reached.has(6));
      else assert.ok(['unknown-authority', 'limit-exceeded'].includes(verdict.reason), verdict.reason);
      if (!anchored) assert.equal(reasonOf(verdict), 'unknown-authority');
    }),
    { numRuns: 25 },
  );
});
