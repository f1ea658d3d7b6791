import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '../../core/secrets/secret.ts';
import { makeKeyEncryptionKey } from './key-encryption-key.ts';
import { decodeEnvelope, encodeEnvelope, type KeyEnvelope, openKey, rewrapEnvelope, sealKey } from './key-envelope.ts';

const kek = makeKeyEncryptionKey(randomBytes(32));
const other = makeKeyEncryptionKey(randomBytes(32));
const use = { ownerId: 'authority_a', purpose: 'issuing' } as const;
const plain = randomBytes(138);
const envelope = sealKey(kek, use, new Secret(plain));

/** The envelope with the last octet of one of its base64url texts changed. */
function flip(layer: 'wrap' | 'key', field: 'nonce' | 'ciphertext', at: number): KeyEnvelope {
  const octets = Buffer.from(envelope[layer][field], 'base64url');
  octets[at < 0 ? octets.length + at : at]! ^= 1;
  return { ...envelope, [layer]: { ...envelope[layer], [field]: octets.toString('base64url') } };
}

test('openKey() gives back what sealKey() took, and the text form holds nothing of it', () => {
  const read = decodeEnvelope(encodeEnvelope(envelope));
  assert.deepEqual(Buffer.from(openKey(kek, use, read).reveal()), plain);
  assert.equal(encodeEnvelope(envelope).includes(plain.toString('base64url')), false);
  assert.equal(JSON.stringify(openKey(kek, use, read)), '"[secret]"');
});

test('openKey() refuses another key, owner or purpose, and every altered part', () => {
  const refused: readonly (readonly [string, () => unknown])[] = [
    ['another key encryption key', () => openKey(other, use, envelope)],
    ['another one that claims the same id', () => openKey({ id: kek.id, key: other.key }, use, envelope)],
    ['another owner', () => openKey(kek, { ...use, ownerId: 'authority_b' }, envelope)],
    ['another purpose', () => openKey(kek, { ...use, purpose: 'checkpoint' }, envelope)],
    ['owner and purpose shifted', () => openKey(kek, { ownerId: 'authority_a,7:issuing', purpose: 'issuing' }, envelope)],
    ['wrap nonce', () => openKey(kek, use, flip('wrap', 'nonce', 0))],
    ['wrapped data key', () => openKey(kek, use, flip('wrap', 'ciphertext', 0))],
    ['wrap tag', () => openKey(kek, use, flip('wrap', 'ciphertext', -1))],
    ['key nonce', () => openKey(kek, use, flip('key', 'nonce', 3))],
    ['key ciphertext', () => openKey(kek, use, flip('key', 'ciphertext', 40))],
    ['key tag', () => openKey(kek, use, flip('key', 'ciphertext', -16))],
    ['cut ciphertext', () => openKey(kek, use, { ...envelope, key: { ...envelope.key, ciphertext: '' } })],
    ['layers swapped', () => openKey(kek, use, { ...envelope, wrap: envelope.key, key: envelope.wrap })],
  ];
  for (const [name, open] of refused) assert.throws(open, { code: 'key-locked' }, name);
});

test('decodeEnvelope() refuses what is no envelope of version 1', () => {
  const texts = [
    '',
    '{',
    'null',
    '[]',
    '{"version":2}',
    JSON.stringify({ ...envelope, version: 2 }),
    JSON.stringify({ ...envelope, wrap: {} }),
  ];
  for (const text of texts) assert.throws(() => decodeEnvelope(text), { code: 'key-locked' }, text);
});

test('rewrapEnvelope() changes the wrap only: the old key encryption key is out, the encrypted key stays', () => {
  const moved = rewrapEnvelope(kek, other, use, envelope);
  assert.deepEqual(moved.key, envelope.key);
  assert.notDeepEqual(moved.wrap, envelope.wrap);
  assert.deepEqual(Buffer.from(openKey(other, use, moved).reveal()), plain);
  assert.throws(() => openKey(kek, use, moved), { code: 'key-locked' });
  assert.throws(() => rewrapEnvelope(other, kek, use, envelope), { code: 'key-locked' });
});

test('two envelopes of one key share no octet that matters', () => {
  const again = sealKey(kek, use, new Secret(plain));
  assert.notEqual(again.key.nonce, envelope.key.nonce);
  assert.notEqual(again.key.ciphertext, envelope.key.ciphertext);
});
