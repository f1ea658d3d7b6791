import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { signCheckpoint } from './checkpoint.ts';
import { appendLeaf, emptyFrontier, rootOf } from './frontier.ts';
import { type Hash, hashLeaf } from './hash.ts';
import { noteVerifier } from './signed-note.ts';
import { encodeEntries, entriesPath, rootOfFullTile, TILE_WIDTH, tilePath } from './tile.ts';
import { type LogFiles, verifyLog } from './verify-log.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const verifier = noteVerifier('log.example', publicKey);

/** The log of these leaves, laid out file by file in the plainest way. */
function layOut(leaves: readonly string[]): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>([['checkpoint', Buffer.from(checkpointOf(leaves))]]);
  const octets = leaves.map((leaf) => Buffer.from(leaf));
  for (let start = 0; start < octets.length; start += TILE_WIDTH) {
    const bundle = octets.slice(start, start + TILE_WIDTH);
    files.set(entriesPath(start / TILE_WIDTH, bundle.length), encodeEntries(bundle));
  }
  let nodes: Hash[] = octets.map(hashLeaf);
  for (let level = 0; nodes.length > 0; level++) {
    const above: Hash[] = [];
    for (let start = 0; start < nodes.length; start += TILE_WIDTH) {
      const tile = nodes.slice(start, start + TILE_WIDTH);
      files.set(tilePath({ level, index: start / TILE_WIDTH, width: tile.length }), Buffer.concat(tile));
      if (tile.length === TILE_WIDTH) above.push(rootOfFullTile(tile));
    }
    nodes = above;
  }
  return files;
}

function checkpointOf(leaves: readonly string[], size = leaves.length): string {
  const frontier = leaves.slice(0, size).reduce((all, leaf) => appendLeaf(all, hashLeaf(Buffer.from(leaf))), emptyFrontier);
  return signCheckpoint({ origin: 'log.example', size, root: rootOf(frontier) }, privateKey);
}

const reader = (files: ReadonlyMap<string, Uint8Array>): LogFiles => ({
  read: async (path) => files.get(path) ?? Promise.reject(new Error('no such file')),
});
const leavesOf = (count: number): string[] => Array.from({ length: count }, (_, at) => `leaf ${at}`);
const refusal = (message: RegExp) => ({ code: 'log-invalid', message });
const SIZE = 2 * TILE_WIDTH + 5;
const leaves = leavesOf(SIZE);
const files = layOut(leaves);

test('logs of every size around a tile verify, and give each leaf once and in order', async () => {
  for (const size of [0, 1, 2, 255, 256, 257, SIZE]) {
    const seen: string[] = [];
    const report = await verifyLog(reader(layOut(leavesOf(size))), verifier, {
      onLeaf: (leaf, index) => {
        assert.equal(index, seen.length);
        seen.push(Buffer.from(leaf).toString());
      },
    });
    assert.equal(report.size, size);
    assert.deepEqual(seen, leavesOf(size));
  }
});

test('the first entry that was changed is named, and nothing after it is handed out', async () => {
  for (const at of [0, 255, 256, 300, SIZE - 1]) {
    const changed = layOut(leaves.with(at, `loaf ${at}`).with(SIZE - 1, 'also'));
    for (const [path, octets] of files) if (!path.startsWith('tile/entries')) changed.set(path, octets);
    let handedOut = 0;
    await assert.rejects(
      verifyLog(reader(changed), verifier, { onLeaf: () => void handedOut++ }),
      refusal(new RegExp(`entry ${at} does not fit tile/0/`)),
    );
    assert.equal(handedOut, at);
  }
});

test('entries and tiles changed together do not reach the signed root', async () => {
  for (const other of [leaves.with(17, 'x'), leaves.with(0, leaves[1]!).with(1, leaves[0]!), leaves.toReversed()]) {
    const changed = layOut(other).set('checkpoint', files.get('checkpoint')!);
    await assert.rejects(verifyLog(reader(changed), verifier), refusal(/root of the entries/));
  }
});

test('an entry dropped, added or cut is refused', async () => {
  const last = entriesPath(2, 5);
  const bundle = files.get(last)!;
  for (const octets of [bundle.subarray(0, -1), bundle.subarray(0, -8), Buffer.concat([bundle, Buffer.from([0, 0])]), new Uint8Array()])
    await assert.rejects(verifyLog(reader(new Map(files).set(last, octets)), verifier), { code: 'log-invalid' });
  const shorter = layOut(leaves.slice(0, -1)).set('checkpoint', files.get('checkpoint')!);
  await assert.rejects(verifyLog(reader(shorter), verifier), refusal(/cannot be read/));
});

test('a missing file is named', async () => {
  for (const path of files.keys()) {
    const without = new Map(files);
    without.delete(path);
    await assert.rejects(verifyLog(reader(without), verifier), refusal(new RegExp(`${path.replaceAll('.', '\\.')} cannot be read`)));
  }
});

test('a changed tile of a higher level is refused', async () => {
  const path = tilePath({ level: 1, index: 0, width: 2 });
  const changed = Buffer.from(files.get(path)!);
  changed[40] = changed[40]! ^ 1;
  await assert.rejects(verifyLog(reader(new Map(files).set(path, changed)), verifier), refusal(/hash 1 of tile\/1\/000\.p\/2/));
});

test('every earlier checkpoint must be a prefix: not longer, not other, not another log’s', async () => {
  const earlier = [0, 1, 256, 300, SIZE].map((size) => checkpointOf(leaves, size));
  assert.equal((await verifyLog(reader(files), verifier, { earlier })).extended, 5);
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const root = rootOf(emptyFrontier);
  for (const note of [
    checkpointOf(leavesOf(SIZE + 1)),
    checkpointOf(leaves.with(3, 'x'), 4),
    checkpointOf(leaves.with(SIZE - 1, 'x')),
    signCheckpoint({ origin: 'log.example', size: 0, root: hashLeaf(root) }, privateKey),
    signCheckpoint({ origin: 'log.example', size: 0, root }, stranger),
    signCheckpoint({ origin: 'else.example', size: 0, root }, privateKey),
    '',
  ]) {
    await assert.rejects(verifyLog(reader(files), verifier, { earlier: [earlier[1]!, note] }), { code: 'log-invalid' }, note);
  }
});
