import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { encodeBundleDocument } from './bundle-document.ts';
import { MAXIMUM_CHARACTERS, parseBundleDocument } from './parse-bundle-document.ts';

const NOW = Date.UTC(2026, 10, 28);
const domain = parseTrustDomain('partner.example');
const [one, other] = [makeTestAuthority(NOW, 'One'), makeTestAuthority(NOW, 'Other')];
const published = (...authorities: readonly Uint8Array[]) => encodeBundleDocument({ sequence: 7, refreshHintMs: 300_000, authorities });
const document = (): any => JSON.parse(published(one.root.der));

test('parseBundleDocument() reads what encodeBundleDocument() writes', () => {
  const read = parseBundleDocument(published(one.root.der, other.root.der), domain);
  assert.equal(read.sequence, 7);
  assert.equal(read.refreshHintMs, 300_000);
  assert.deepEqual(
    read.authorities.map(({ spkiSha256 }) => spkiSha256),
    [one.root.spkiSha256, other.root.spkiSha256],
  );
});

test('encodeBundleDocument() gives each authority one certificate and no kid', () => {
  const [key, ...rest] = document().keys;
  assert.equal(rest.length, 0);
  assert.equal(key.use, 'x509-svid');
  assert.equal(key.kty, 'EC');
  assert.equal('kid' in key, false);
  assert.deepEqual(key.x5c, [Buffer.from(one.root.der).toString('base64')]);
});

test('parseBundleDocument() takes an empty list of keys for what it says: nothing is trusted', () => {
  assert.deepEqual(parseBundleDocument('{"keys":[],"spiffe_sequence":8}', domain), { sequence: 8, refreshHintMs: null, authorities: [] });
});

test('parseBundleDocument() passes over entries of other uses and key types', () => {
  const { keys } = document();
  const others = [
    { ...keys[0], use: 'jwt-svid', kid: 'a' },
    { ...keys[0], use: 'X509-SVID' },
    { ...keys[0], kty: 'XYZ' },
    { kty: 'EC', x5c: keys[0].x5c },
  ];
  assert.equal(parseBundleDocument(JSON.stringify({ keys: [...others, ...keys] }), domain).authorities.length, 1);
  assert.equal(parseBundleDocument(JSON.stringify({ keys: others }), domain).authorities.length, 0);
});

const leaf = one.issue({ uris: ['spiffe://partner.example/workload'] }).certificate;
const refused: readonly (readonly [string, (text: any) => unknown])[] = [
  ['no JSON', () => '{'],
  ['a list', () => []],
  ['no keys', () => ({ spiffe_sequence: 1 })],
  ['keys that are none', () => ({ keys: null })],
  ['an entry that is no object', () => ({ keys: ['x'] })],
  ['an entry of X.509 with a kid', ({ keys: [key] }) => ({ keys: [{ ...key, kid: 'k1' }] })],
  ['an entry without a certificate', ({ keys: [key] }) => ({ keys: [{ ...key, x5c: [] }] })],
  ['an entry with two certificates', ({ keys: [key] }) => ({ keys: [{ ...key, x5c: [...key.x5c, ...key.x5c] }] })],
  ['a certificate in the URL alphabet', ({ keys: [key] }) => ({ keys: [{ ...key, x5c: [key.x5c[0].replaceAll(/[+/]/g, '-')] }] })],
  ['octets that are no certificate', ({ keys: [key] }) => ({ keys: [{ ...key, x5c: ['AAAA'] }] })],
  ['the key of another certificate', ({ keys: [key] }) => ({ keys: [{ ...key, x5c: [Buffer.from(other.root.der).toString('base64')] }] })],
  ['an entry without its key', ({ keys: [key] }) => ({ keys: [{ use: key.use, kty: key.kty, x5c: key.x5c }] })],
  ['a certificate that is no authority', () => JSON.parse(published(leaf.der))],
  ['an authority twice', ({ keys: [key] }) => ({ keys: [key, key] })],
  ['a sequence below zero', (text) => ({ ...text, spiffe_sequence: -1 })],
  ['a sequence that is a fraction', (text) => ({ ...text, spiffe_sequence: 1.5 })],
  ['a sequence past what a double counts', (text) => ({ ...text, spiffe_sequence: 2 ** 60 })],
  ['a sequence as text', (text) => ({ ...text, spiffe_sequence: '7' })],
  ['a hint that is none', (text) => ({ ...text, spiffe_refresh_hint: 'soon' })],
  ['too many keys', ({ keys: [key] }) => ({ keys: Array.from({ length: 101 }, () => ({ ...key, use: 'jwt-svid' })) })],
  ['too long a text', () => ' '.repeat(MAXIMUM_CHARACTERS + 1)],
];
for (const [name, make] of refused) {
  test(`parseBundleDocument() refuses ${name}`, () => {
    const made = make(document());
    const text = typeof made === 'string' ? made : JSON.stringify(made);
    assert.throws(() => parseBundleDocument(text, domain), { code: 'input-invalid', message: /^Cannot read bundle: / });
  });
}
