import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { certify, makeHolder, spkiOf, type TestHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { lintAnyCertificate } from './lint-any-certificate.ts';
import { oids } from './oid.ts';
import { parseSubjectPublicKey } from './public-key.ts';
import { signatureAlgorithmFor, verifySignature } from './signature-algorithm.ts';
import { verifyPath } from './verify-path.ts';

const kinds = ['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'] as const;

/** The overloads of node:crypto take one kind each. */
function holderOf(kind: (typeof kinds)[number]): TestHolder {
  const { name } = makeHolder(kind);
  switch (kind) {
    case 'ml-dsa-44':
      return { name, key: generateKeyPairSync('ml-dsa-44').privateKey };
    case 'ml-dsa-65':
      return { name, key: generateKeyPairSync('ml-dsa-65').privateKey };
    case 'ml-dsa-87':
      return { name, key: generateKeyPairSync('ml-dsa-87').privateKey };
    default:
      return kind satisfies never;
  }
}

test('paths of ML-DSA are verified (RFC 9881), whatever the kinds of the others are', () => {
  for (const kind of kinds) {
    const [root, leaf, classic] = [holderOf(kind), holderOf(kind), makeHolder('Classic')];
    const anchors = [certify(root, root, true)];
    const verdictOf = (subject: TestHolder, issuer = root) =>
      verifyPath({ leaf: certify(subject, issuer, false), intermediates: [], anchors, usage: 'server', now: TEST_NOW }).kind;
    assert.equal(verdictOf(leaf), 'valid', kind);
    assert.equal(verdictOf(classic), 'valid', kind);
    assert.equal(verdictOf(classic, { name: root.name, key: holderOf(kind).key }), 'invalid', 'another key signed it');
    assert.equal(verdictOf(classic, { name: root.name, key: classic.key }), 'invalid', 'an algorithm that is not of the key');
  }
});

test('an ML-DSA key has the octets of its parameter set and no parameters', () => {
  const spki = Buffer.from(spkiOf(holderOf('ml-dsa-44').key));
  assert.deepEqual(parseSubjectPublicKey(spki).kind, { kind: 'ml-dsa', parameterSet: 44 });
  const other = Buffer.from(spki);
  // The last arc of 2.16.840.1.101.3.4.3.17: the key is then too short for the set that it names.
  other[other.indexOf(Buffer.from('6086480165030403', 'hex')) + 8] = 18;
  assert.deepEqual(parseSubjectPublicKey(other).kind, { kind: 'unknown', algorithm: oids.mlDsa65 });
});

test('an ML-DSA signature of another set, cut or changed does not verify', () => {
  const holder = holderOf('ml-dsa-65');
  const { tbs, signature } = certify(holder, holder, true);
  const key = holder.key;
  assert.equal(signatureAlgorithmFor(key), 'ml-dsa-65');
  const verifies = (algorithm: (typeof kinds)[number], octets: Uint8Array): boolean => verifySignature(algorithm, key, tbs, octets);
  assert.equal(verifies('ml-dsa-65', signature), true);
  assert.equal(verifies('ml-dsa-44', signature), false);
  assert.equal(verifies('ml-dsa-65', signature.subarray(1)), false);
  assert.equal(
    verifies(
      'ml-dsa-65',
      signature.map((octet, index) => (index === 0 ? octet ^ 1 : octet)),
    ),
    false,
  );
});

test('an ML-DSA key that would encipher or agree is a fault (RFC 9881 section 5)', () => {
  const [root, leaf] = [makeHolder('Root'), holderOf('ml-dsa-44')];
  const rulesOf = (keyUsage: Parameters<typeof certify>[3]) =>
    lintAnyCertificate(certify(leaf, root, false, keyUsage).der, { issuer: null, blockedKeys: new Set() }).map(({ rule }) => rule);
  assert.equal(rulesOf({ keyUsage: ['digitalSignature'] }).includes('key-usage-ml-dsa'), false);
  assert.equal(rulesOf({ keyUsage: ['digitalSignature', 'keyEncipherment'] }).includes('key-usage-ml-dsa'), true);
  assert.equal(rulesOf({ keyUsage: ['keyAgreement'] }).includes('key-usage-ml-dsa'), true);
});
