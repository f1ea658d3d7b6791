import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { computeRoots, hashLeaf, openCheckpoint } from './transparency.ts';

/** The inputs and roots that certificate-transparency's own Merkle tree tests use. */
const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const roots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

test('computeRoots() gives the known roots of all sizes (RFC 6962 section 2.1)', () => {
  const leaves = inputs.map((hex) => hashLeaf(Buffer.from(hex, 'hex')));
  const found = computeRoots(leaves, new Set(leaves.map((_, index) => index + 1)));
  assert.deepEqual(
    [...found.values()].map((root) => Buffer.from(root, 'base64').toString('hex')),
    roots,
  );
});

test('computeRoots() of nothing is the hash of nothing', () => {
  assert.equal(computeRoots([], new Set([0])).get(0), createHash('sha256').digest('base64'));
});

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const algorithmAndKey = Buffer.concat([Buffer.from([1]), publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)]);
const keyId = createHash('sha256').update('log.example\n').update(algorithmAndKey).digest().subarray(0, 4);
const verifierKey = `log.example+${keyId.toString('hex')}+${algorithmAndKey.toString('base64')}`;

function note(text: string): string {
  const signature = Buffer.concat([keyId, sign(null, Buffer.from(text), privateKey)]).toString('base64');
  return `${text}\n— log.example ${signature}\n`;
}

test('openCheckpoint() reads a signed note', () => {
  const opened = openCheckpoint(note('log.example\n7\nAAAA\n'), verifierKey);
  assert.deepEqual([opened.origin, opened.size, opened.root], ['log.example', 7, 'AAAA']);
});

test('openCheckpoint() refuses a changed text, another key, another name and a size that is no number', () => {
  const good = note('log.example\n7\nAAAA\n');
  assert.throws(() => openCheckpoint(good.replace('\n7\n', '\n8\n'), verifierKey), /signature is wrong/);
  const other = Buffer.concat([Buffer.from([1]), Buffer.alloc(32, 9)]);
  const otherId = createHash('sha256').update('log.example\n').update(other).digest('hex').slice(0, 8);
  assert.throws(() => openCheckpoint(good, `log.example+${otherId}+${other.toString('base64')}`), /no signature of log\.example/);
  assert.throws(() => openCheckpoint(good, `other.example+${keyId.toString('hex')}+${algorithmAndKey.toString('base64')}`), /match/);
  assert.throws(() => openCheckpoint(note('log.example\n07\nAAAA\n'), verifierKey), /no number/);
  assert.throws(() => openCheckpoint('log.example\n7\nAAAA\n', verifierKey), /no signatures/);
});
