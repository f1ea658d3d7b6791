import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { certify, makeHolder, spkiOf, TEST_NOW, type TestHolder } from '../../../test/support/make-certificate.ts';
import { defaultPathLimits } from './build-paths.ts';
import { lintAnyCertificate } from './lint-any-certificate.ts';
import { parseSubjectPublicKey } from './public-key.ts';
import { slhDsaAlgorithms, slhDsaKeyOctets, slhDsaOf, slhDsaOid } from './slh-dsa.ts';
import { verifyPath } from './verify-path.ts';

// The fastest to sign, each of another hash and size.
const holders: readonly TestHolder[] = [
  { name: makeHolder('A').name, key: generateKeyPairSync('slh-dsa-sha2-128f').privateKey },
  { name: makeHolder('B').name, key: generateKeyPairSync('slh-dsa-shake-192f').privateKey },
];
const classic = makeHolder('Classic');

test('identifiers of SLH-DSA are those of RFC 9909 section 3, keys have the octets of their set', () => {
  assert.equal(slhDsaOid('slh-dsa-sha2-128s'), '2.16.840.1.101.3.4.3.20');
  assert.equal(slhDsaOid('slh-dsa-shake-256f'), '2.16.840.1.101.3.4.3.31');
  for (const algorithm of slhDsaAlgorithms) assert.equal(slhDsaOf(slhDsaOid(algorithm)), algorithm);
  for (const other of ['2.16.840.1.101.3.4.3.19', '2.16.840.1.101.3.4.3.32', '2.16.840.1.101.3.4.3.', '1.2.3'])
    assert.equal(slhDsaOf(other), null, other);
  assert.deepEqual(
    (['sha2-128s', 'shake-192f', 'sha2-256f'] as const).map((set) => slhDsaKeyOctets(`slh-dsa-${set}`)),
    [32, 48, 64],
  );
});

test('a path of SLH-DSA is verified, another key or a changed signature refuses it', () => {
  for (const root of holders) {
    const anchors = [certify(root, root, true)];
    const leaf = certify(classic, root, false);
    const verdict = (candidate = leaf, limits = defaultPathLimits) =>
      verifyPath({ leaf: candidate, intermediates: [], anchors, usage: 'server', now: TEST_NOW, limits });
    assert.equal(verdict().kind, 'valid');
    const changed = leaf.signature.map((octet, index) => (index === 100 ? octet ^ 1 : octet));
    assert.equal(verdict({ ...leaf, signature: changed }).kind, 'invalid');
    assert.equal(verdict({ ...leaf, signatureAlgorithm: 'slh-dsa-sha2-128s' }).kind, 'invalid', 'another parameter set');
    const few = verdict({ ...leaf }, { ...defaultPathLimits, maxSignatures: 9 });
    assert.ok(few.kind === 'invalid' && few.reason === 'limit-exceeded', 'it costs more than others');
  }
});

/** Rules of the lint that a leaf with this key and usage breaks. */
const rules = (holder: TestHolder, keyUsage: Parameters<typeof certify>[3]): readonly string[] =>
  lintAnyCertificate(certify(holder, classic, false, keyUsage).der, { issuer: null, blockedKeys: new Set() }).map(({ rule }) => rule);

test('key usage of SLH-DSA and ML-KEM is held to RFC 9909 section 6 and RFC 9935 section 5', () => {
  assert.ok(!rules(holders[0]!, { keyUsage: ['digitalSignature'] }).includes('key-usage-ml-dsa'));
  assert.ok(rules(holders[0]!, { keyUsage: ['digitalSignature', 'keyAgreement'] }).includes('key-usage-ml-dsa'));
  const kem: TestHolder = { name: makeHolder('KEM').name, key: generateKeyPairSync('ml-kem-768').privateKey };
  assert.deepEqual(parseSubjectPublicKey(spkiOf(kem.key)).kind, { kind: 'ml-kem', parameterSet: 768 });
  assert.ok(!rules(kem, { keyUsage: ['keyEncipherment'] }).includes('key-usage-ml-kem'));
  for (const keyUsage of [['digitalSignature'], ['keyEncipherment', 'keyAgreement']] as const)
    assert.ok(rules(kem, { keyUsage }).includes('key-usage-ml-kem'));
});
