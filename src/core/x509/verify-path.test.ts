import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, signTbs, type TestHolder, makeFields, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { DAY_MS } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { buildTbsCertificate, type TbsFields } from './build-certificate.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { tags } from './der.ts';
import { bitString, encodeDer, namedBits, nullValue, oid, primitive, raw, sequence, smallInteger } from './der-writer.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier } from './signature-algorithm.ts';
import { defaultPathLimits } from './build-paths.ts';
import { type PathRequest, verifyPath } from './verify-path.ts';
import { time } from './x509-time.ts';

const [root, issuing, below, leaf, stranger] = [
  makeHolder('Root'),
  makeHolder('Issuing'),
  makeHolder('Below'),
  makeHolder(null),
  makeHolder('Stranger'),
];
const rootCertificate = certify(root, root, true);
const issuingCertificate = certify(issuing, root, true);
const leafCertificate = certify(leaf, issuing, false);

function verify(changes: Partial<PathRequest> = {}): ReturnType<typeof verifyPath> {
  const request = {
    leaf: leafCertificate,
    intermediates: [issuingCertificate],
    anchors: [rootCertificate],
    usage: 'client',
    now: TEST_NOW,
  } as const;
  return verifyPath({ ...request, ...changes });
}

function refuses(reason: RefusalReason, changes: Partial<PathRequest>, what: string): void {
  const verdict = verify(changes);
  assert.equal(verdict.kind === 'invalid' ? verdict.reason : 'valid', reason, what);
}

/** The path root, issuing, leaf with the issuing certificate changed. */
const withIssuing = (changes: Partial<TbsFields>): Partial<PathRequest> => ({ intermediates: [certify(issuing, root, true, changes)] });
const withLeaf = (changes: Partial<TbsFields>): Partial<PathRequest> => ({ leaf: certify(leaf, issuing, false, changes) });

/** An issuing certificate with this key in it, whatever it is. */
function withKey(spki: Uint8Array): Certificate {
  return parseCertificate(signTbs(buildTbsCertificate(makeFields(issuing, root, true, { spki })), root));
}

/** A public key whose modulus has so many bits. */
function rsaSpki(bits: number): Uint8Array {
  const modulus = primitive(tags.integer, new Uint8Array(bits / 8).fill(0x7f));
  return encodeDer(sequence(sequence(oid(oids.rsaEncryption), nullValue()), bitString(encodeDer(sequence(modulus, smallInteger(3))))));
}

const version1 = (subject: TestHolder, issuer: TestHolder): Certificate => {
  const { notBefore, notAfter, spki } = makeFields(subject, issuer, true);
  const algorithm = raw(algorithmIdentifier('ecdsa-sha256'));
  const validity = sequence(time(notBefore), time(notAfter));
  return parseCertificate(
    signTbs(encodeDer(sequence(smallInteger(5), algorithm, raw(issuer.name.der), validity, raw(subject.name.der), raw(spki))), issuer),
  );
};

const only = (host: string): Partial<TbsFields> => ({ nameConstraints: { permitted: [{ kind: 'uri', host }], excluded: [] } });

const extension = (id: string, critical: boolean, value: Uint8Array): Partial<TbsFields> => ({
  furtherExtensions: [{ oid: id, critical, value }],
});

test('verifyPath() returns the path, leaf first and anchor last', () => {
  const verdict = verify({ intermediates: [leafCertificate, rootCertificate, certify(stranger, stranger, true), issuingCertificate] });
  assert.ok(verdict.kind === 'valid');
  assert.deepEqual(verdict.path, [leafCertificate, issuingCertificate, rootCertificate]);
  assert.equal(verify({ usage: 'server' }).kind, 'valid');
  assert.equal(verify({ anchors: [issuingCertificate], intermediates: [] }).kind, 'valid', 'an intermediate as anchor');
});

test('verifyPath() works with every kind of key', () => {
  for (const kind of ['P-384', 'P-521', 'ed25519', 'rsa-2048'] as const) {
    const [top, bottom] = [makeHolder('Top', kind), makeHolder(null, kind)];
    assert.equal(verify({ leaf: certify(bottom, top, false), anchors: [certify(top, top, true)] }).kind, 'valid', kind);
  }
});

test('verifyPath() refuses what does not chain to an anchor as unknown-authority', () => {
  const impostor = makeHolder('Issuing');
  const changed = Buffer.from(leafCertificate.der);
  changed[changed.length - 1]! ^= 1;
  refuses('unknown-authority', { intermediates: [] }, 'no intermediate');
  refuses('unknown-authority', { anchors: [] }, 'no anchor');
  refuses('unknown-authority', { anchors: [certify(makeHolder('Root'), makeHolder('Root'), true)] }, 'an anchor of the same name');
  refuses('unknown-authority', { leaf: certify(leaf, impostor, false) }, 'an issuer of the same name');
  refuses('unknown-authority', { leaf: certify(leaf, stranger, false) }, 'an issuer unknown');
  refuses('unknown-authority', { leaf: certify(leaf, leaf, false, { issuer: leaf.name }) }, 'a leaf that signs itself');
  refuses('unknown-authority', { leaf: parseCertificate(changed) }, 'a signature with one bit changed');
  refuses('unknown-authority', { anchors: [certify(stranger, stranger, true)] }, 'another root');
});

test('verifyPath() refuses each certificate of the path outside its validity, whose both ends belong to it', () => {
  const { notBefore, notAfter } = leafCertificate;
  assert.equal(verify({ now: notBefore }).kind, 'valid');
  assert.equal(verify({ now: notAfter + 999 }).kind, 'valid', 'within the last second');
  refuses('not-yet-valid', { now: notBefore - 1 }, 'a millisecond before');
  refuses('expired', { now: notAfter + 1000 }, 'a second after');
  const past = { notBefore: TEST_NOW - 3 * DAY_MS, notAfter: TEST_NOW - 1000 };
  const future = { notBefore: TEST_NOW + 1000, notAfter: TEST_NOW + DAY_MS };
  refuses('expired', withLeaf(past), 'leaf');
  refuses('expired', withIssuing(past), 'issuing');
  refuses('expired', { anchors: [certify(root, root, true, past)] }, 'root');
  refuses('not-yet-valid', withLeaf(future), 'leaf');
  refuses('not-yet-valid', withIssuing(future), 'issuing');
});

test('verifyPath() refuses an issuer that is no authority (RFC 5280 section 6.1.4 (k), (n))', () => {
  refuses('chain-invalid', withIssuing({ basicConstraints: { ca: false, pathLength: null } }), 'cA false');
  refuses('chain-invalid', withIssuing({ keyUsage: ['digitalSignature'] }), 'without keyCertSign');
  refuses(
    'chain-invalid',
    { leaf: certify(makeHolder(null), leaf, false, { issuer: buildName([]) }), intermediates: [leafCertificate, issuingCertificate] },
    'a leaf that issues',
  );
  refuses('chain-invalid', { anchors: [certify(root, root, true, { keyUsage: ['cRLSign'] })] }, 'an anchor without keyCertSign');
  assert.equal(verify(withIssuing({ keyUsage: [] })).kind, 'valid', 'no key usage at all says nothing');
});

test('verifyPath() refuses a version 1 intermediate, and takes a version 1 anchor', () => {
  refuses('chain-invalid', { intermediates: [version1(issuing, root)] }, 'intermediate');
  assert.equal(verify({ anchors: [version1(root, root)] }).kind, 'valid');
});

test('verifyPath() counts path length over authorities that are not self-issued (RFC 5280 section 6.1.4 (l), (m))', () => {
  const belowCertificate = certify(below, issuing, true);
  const deep = { leaf: certify(leaf, below, false), intermediates: [belowCertificate, issuingCertificate] };
  assert.equal(verify(deep).kind, 'valid');
  const limited = (pathLength: number): Certificate => certify(issuing, root, true, { basicConstraints: { ca: true, pathLength } });
  refuses('chain-invalid', { ...deep, intermediates: [belowCertificate, limited(0)] }, 'path length 0');
  refuses(
    'chain-invalid',
    { ...deep, anchors: [certify(root, root, true, { basicConstraints: { ca: true, pathLength: 1 } })] },
    'path length of the anchor',
  );
  assert.equal(verify({ ...deep, intermediates: [belowCertificate, limited(1)] }).kind, 'valid');
  const rolled = makeHolder('Issuing');
  const selfIssued = certify(rolled, issuing, true);
  assert.equal(
    verify({ leaf: certify(leaf, rolled, false), intermediates: [selfIssued, limited(0)] }).kind,
    'valid',
    'a rolled key of the same name',
  );
});

test('verifyPath() refuses the wrong usage of leaf and of every authority above', () => {
  refuses('wrong-usage', withLeaf({ extendedKeyUsage: [oids.serverAuth] }), 'a server as client');
  refuses('wrong-usage', { ...withLeaf({ extendedKeyUsage: [oids.clientAuth] }), usage: 'server' }, 'a client as server');
  refuses('wrong-usage', withLeaf({ extendedKeyUsage: [oids.codeSigning] }), 'code signing');
  refuses('wrong-usage', withIssuing({ extendedKeyUsage: [oids.serverAuth] }), 'an authority for servers');
  refuses('wrong-usage', { anchors: [certify(root, root, true, { extendedKeyUsage: [oids.emailProtection] })] }, 'a root for mail');
  refuses('wrong-usage', withLeaf({ keyUsage: ['keyEncipherment'] }), 'without digitalSignature');
  assert.equal(verify(withLeaf({ extendedKeyUsage: [] })).kind, 'valid', 'no extended key usage says nothing');
  assert.equal(verify(withIssuing({ extendedKeyUsage: [oids.anyExtendedKeyUsage] })).kind, 'valid');
});

test('verifyPath() refuses critical extensions that it does not process, anywhere in the path', () => {
  const furtherExtensions = [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }];
  refuses('chain-invalid', withLeaf({ furtherExtensions }), 'leaf');
  refuses('chain-invalid', withIssuing({ furtherExtensions }), 'issuing');
  refuses('chain-invalid', { anchors: [certify(root, root, true, { furtherExtensions })] }, 'root');
  const harmless = [{ oid: '1.2.3.4', critical: false, value: Uint8Array.of(5, 0) }];
  assert.equal(verify(withLeaf({ furtherExtensions: harmless })).kind, 'valid');
});

test('verifyPath() takes policies that nobody demands, and refuses every demand for one (RFC 5280 section 6.1.5)', () => {
  const policies = encodeDer(sequence(sequence(oid('1.2.3.4'))));
  const demand = encodeDer(sequence(primitive(0x80, '\0')));
  assert.equal(verify(withLeaf(extension(oids.certificatePolicies, true, policies))).kind, 'valid');
  assert.equal(verify(withIssuing(extension(oids.inhibitAnyPolicy, true, Uint8Array.of(2, 1, 0)))).kind, 'valid');
  for (const critical of [true, false])
    refuses('chain-invalid', withIssuing(extension(oids.policyConstraints, critical, demand)), 'policy constraints');
  refuses('chain-invalid', withIssuing(extension(oids.policyMappings, true, encodeDer(sequence()))), 'critical policy mappings');
});

test('verifyPath() refuses a leaf that is an authority, and serial numbers that cannot be', () => {
  refuses('chain-invalid', { leaf: certify(stranger, issuing, true, { keyUsage: ['digitalSignature', 'keyCertSign'] }) }, 'cA');
  refuses('chain-invalid', withLeaf({ keyUsage: ['digitalSignature', 'keyCertSign'] }), 'keyCertSign without cA');
  refuses('chain-invalid', withLeaf({ serial: Uint8Array.of(0) }), 'serial 0');
  refuses('chain-invalid', withLeaf({ serial: new Uint8Array(20).fill(0xff) }), 'serial of 21 octets');
  assert.equal(verify(withLeaf({ serial: new Uint8Array(20).fill(0x7f) })).kind, 'valid');
});

test('verifyPath() applies name constraints of each authority to all below, the anchor among them (RFC 5937)', () => {
  assert.equal(verify(withIssuing(only('acme.test'))).kind, 'valid');
  refuses('chain-invalid', withIssuing(only('other.test')), 'issuing');
  refuses('chain-invalid', { anchors: [certify(root, root, true, only('other.test'))] }, 'root');
  const directory = { nameConstraints: { permitted: [{ kind: 'directory', name: stranger.name } as const], excluded: [] } };
  refuses('chain-invalid', { anchors: [certify(root, root, true, directory)] }, 'the name of an authority below');
});

test('verifyPath() finds the one good path among bad ones, and tells the first fault when there is none', () => {
  const old = certify(issuing, root, true, { notBefore: TEST_NOW - 3 * DAY_MS, notAfter: TEST_NOW - DAY_MS });
  const crossed = certify(issuing, stranger, true);
  assert.equal(verify({ intermediates: [old, crossed, issuingCertificate] }).kind, 'valid');
  refuses('expired', { intermediates: [old, crossed] }, 'only the old one leads to an anchor');
  assert.equal(
    verify({ intermediates: [old, crossed], anchors: [certify(stranger, stranger, true)] }).kind,
    'valid',
    'by the cross-signed one',
  );
});

test('verifyPath() compares names without regard to case, spaces and string type (RFC 5280 section 7.1)', () => {
  const spelled = certify(leaf, issuing, false, { issuer: buildName([[oids.commonName, '  iSSUING ']]) });
  assert.equal(verify({ leaf: spelled }).kind, 'valid');
  refuses(
    'unknown-authority',
    { leaf: certify(leaf, issuing, false, { issuer: buildName([[oids.organization, 'Issuing']]) }) },
    'another attribute',
  );
});

test('verifyPath() ends on loops, on long chains and on crowds of look-alikes', () => {
  const [a, b] = [makeHolder('A'), makeHolder('B')];
  const loop = [certify(a, b, true), certify(b, a, true), certify(a, a, true), certify(b, b, true)];
  refuses('unknown-authority', { leaf: certify(leaf, a, false), intermediates: loop }, 'two authorities that certify each other');
  const holders = [root, ...Array.from({ length: 12 }, (_, i) => makeHolder(`Level ${i}`))];
  const chain = holders.slice(1).map((holder, i) => certify(holder, holders[i]!, true));
  const long = { leaf: certify(leaf, holders.at(-1)!, false), intermediates: chain };
  refuses('unknown-authority', long, 'longer than the limit');
  assert.equal(verify({ ...long, limits: { ...defaultPathLimits, maxCertificates: 14 } }).kind, 'valid');
  const crowd = Array.from({ length: 100 }, () => certify(makeHolder('Issuing'), root, true, { subjectKeyId: issuingKeyId }));
  refuses('limit-exceeded', { intermediates: crowd }, 'a hundred keys of the same name');
  const honest = [...Array.from({ length: 60 }, () => certify(makeHolder('Issuing'), root, true)), issuingCertificate];
  assert.equal(verify({ intermediates: honest }).kind, 'valid', 'the key identifier says which to try first');
});

test('verifyPath() is bounded where every authority certifies every other', () => {
  const holders = Array.from({ length: 8 }, (_, i) => makeHolder(`Mesh ${i}`));
  const mesh = holders.flatMap((holder) => holders.filter((other) => other !== holder).map((other) => certify(holder, other, true)));
  const leafOfMesh = certify(leaf, holders[0]!, false);
  refuses('unknown-authority', { leaf: leafOfMesh, intermediates: mesh }, 'no name of an anchor among them');
  const forged = certify(holders[7]!, makeHolder('Root'), true);
  refuses('limit-exceeded', { leaf: leafOfMesh, intermediates: [...mesh, forged] }, "an anchor's name, and not its signature");
  const anchored = { leaf: leafOfMesh, intermediates: [...mesh, certify(holders[7]!, root, true)] };
  assert.equal(verify(anchored).kind, 'valid');
  refuses('chain-invalid', { ...anchored, anchors: [certify(root, root, true, only('other.test'))] }, 'every path breaks a constraint');
});

test('verifyPath() does not throw on issuers whose key is none, too small or absurd', () => {
  const offCurve = issuingCertificate.spki.slice();
  offCurve[offCurve.length - 1]! ^= 1;
  for (const spki of [offCurve, rsaSpki(1024), rsaSpki(16_384)]) refuses('unknown-authority', { intermediates: [withKey(spki)] }, 'key');
});

test('key usage that is not critical counts all the same', () => {
  const keyUsage = { oid: oids.keyUsage, critical: false, value: encodeDer(namedBits([0])) };
  refuses('chain-invalid', withIssuing({ keyUsage: [], furtherExtensions: [keyUsage] }), 'digitalSignature only');
});

const issuingKeyId = Buffer.from(issuingCertificate.subjectKeyId!, 'hex');
