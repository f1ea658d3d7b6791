import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { isKeyUri, keySourceDigest, readAnchors } from './key-source.ts';
import { readPublishedKeys } from './published-keys.ts';

const ec = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }), kid: 'ec' };
const rsa = { ...generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey.export({ format: 'jwk' }), kid: 'rsa' };
const weak = { ...generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' }), kid: 'weak' };
const secret = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), kid: 'private' };

test('of a JWK Set the keys are taken that verify signatures, and RSA without an algorithm stands for RS256', () => {
  const set = {
    keys: [
      { ...ec, use: 'sig', key_ops: ['verify'], x5c: ['AAAA'] },
      rsa,
      { ...ec, kid: 'for encryption', use: 'enc' },
      { ...ec, kid: 'for signing', key_ops: ['sign'] },
      { kty: 'oct', k: 'AAAA' },
      { ...rsa, kid: 'other algorithm', alg: 'RSA-OAEP' },
      weak,
      secret,
      { kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' },
      null,
      'x',
    ],
  };
  assert.deepEqual(
    readPublishedKeys(set).map(({ kid, alg }) => [kid, alg]),
    [
      ['ec', undefined],
      ['rsa', 'RS256'],
    ],
  );
});

const refused: { readonly [name: string]: unknown } = {
  'no object': 'x',
  null: null,
  'no list': { keys: ec },
  'an empty list': { keys: [] },
  'no usable key': { keys: [weak, { ...ec, use: 'enc' }] },
  'a private key alone': { keys: [secret] },
  'more keys than are read': { keys: Array.from({ length: 101 }, () => ({ kty: 'oct' })) },
  'more usable keys than are held': { keys: Array.from({ length: 21 }, (_none, at) => ({ ...ec, kid: String(at) })) },
};
for (const [name, value] of Object.entries(refused)) {
  test(`${name} gives no published keys`, () => {
    assert.throws(() => readPublishedKeys(value), { code: 'input-invalid' });
  });
}

test('keys are published at an https URL without credentials, query and fragment', () => {
  assert.equal(isKeyUri('https://login.acme.example/keys'), true);
  for (const text of [
    '',
    'keys',
    'http://login.acme.example/keys',
    'https://a:b@login.acme.example/keys',
    'https://a@login.acme.example/keys',
    'https://login.acme.example/keys?x=1',
    'https://login.acme.example/keys#x',
    'file:///keys',
  ])
    assert.equal(isKeyUri(text), false, text);
});

test('anchors are certificates, and a source is named by both', () => {
  for (const text of ['', 'x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'x'.repeat(65_537)])
    assert.equal(readAnchors(text), null);
  const uri = 'https://login.acme.example/keys';
  const digests = [
    { uri, anchorsPem: null },
    { uri, anchorsPem: 'x' },
    { uri: `${uri}/`, anchorsPem: null },
  ].map(keySourceDigest);
  assert.equal(new Set(digests).size, 3);
});
