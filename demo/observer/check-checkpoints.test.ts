import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { checkCheckpoints } from './check-checkpoints.ts';
import { encodeIndex } from './read-tiles.ts';
import { computeRoots, hashLeaf } from './transparency.ts';

const directory = mkdtempSync(join(tmpdir(), 'checkpoints-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const key = Buffer.concat([Buffer.from([1]), publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)]);
const keyId = createHash('sha256').update('log.example\n').update(key).digest().subarray(0, 4);
const verifierKey = `log.example+${keyId.toString('hex')}+${key.toString('base64')}`;
const entries = Array.from({ length: 300 }, (_, index) => Buffer.from(`entry ${index}`));

function checkpoint(of: readonly Buffer[]): string {
  const text = `log.example\n${of.length}\n${computeRoots(of.map(hashLeaf), new Set([of.length])).get(of.length)}\n`;
  return `${text}\n— log.example ${Buffer.concat([keyId, sign(null, Buffer.from(text), privateKey)]).toString('base64')}\n`;
}

function exportLog(name: string, of: readonly Buffer[]): string {
  const into = join(directory, name);
  for (let first = 0; first < of.length; first += 256) {
    const bundle = of.slice(first, first + 256);
    const full = join(into, 'tile', 'entries', encodeIndex(first / 256));
    const file = bundle.length === 256 ? full : join(`${full}.p`, String(bundle.length));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, Buffer.concat(bundle.flatMap((entry) => [Buffer.from([entry.length >> 8, entry.length & 0xff]), entry])));
  }
  writeFileSync(join(into, 'checkpoint'), checkpoint(of));
  return into;
}

function keep(name: string, checkpoints: readonly string[]): string {
  const file = join(directory, `${name}.jsonl`);
  writeFileSync(file, checkpoints.map((text) => `${JSON.stringify({ at: 1, checkpoint: text })}\n`).join(''));
  return file;
}

const exported = exportLog('export', entries);

test('checkCheckpoints() accepts checkpoints of any earlier size', () => {
  const kept = keep(
    'good',
    [0, 1, 2, 255, 256, 257, 300].map((size) => checkpoint(entries.slice(0, size))),
  );
  assert.deepEqual(checkCheckpoints(kept, exported, verifierKey), { kept: 7, entries: 300, consistent: true, problem: null });
});

test('checkCheckpoints() refuses a log that was rewritten, shrank, or is shorter than what was seen', () => {
  const rewritten = entries.with(3, Buffer.from('another entry'));
  assert.match(checkCheckpoints(keep('rewritten', [checkpoint(rewritten.slice(0, 9))]), exported, verifierKey).problem!, /over 9 entries/);
  const shrank = [checkpoint(entries.slice(0, 9)), checkpoint(entries.slice(0, 8))];
  assert.match(checkCheckpoints(keep('shrank', shrank), exported, verifierKey).problem!, /shrank from 9 to 8/);
  const shorter = exportLog('shorter', entries.slice(0, 8));
  assert.match(checkCheckpoints(keep('longer', [checkpoint(entries.slice(0, 9))]), shorter, verifierKey).problem!, /the export has 8/);
});

test('checkCheckpoints() refuses a checkpoint without a good signature, and an export with a cut bundle', () => {
  const forged = checkpoint(entries.slice(0, 9)).replace('\n9\n', '\n10\n');
  assert.match(checkCheckpoints(keep('forged', [forged]), exported, verifierKey).problem!, /signature/);
  const cut = exportLog('cut', entries.slice(0, 8));
  writeFileSync(join(cut, 'tile', 'entries', '000.p', '8'), Buffer.from([0, 9, 1]));
  assert.match(checkCheckpoints(keep('one', [checkpoint(entries.slice(0, 4))]), cut, verifierKey).problem!, /is cut/);
});

test('encodeIndex() groups by three digits', () => {
  assert.deepEqual([0, 255, 1000, 1234067].map(encodeIndex), ['000', '255', 'x001/000', 'x001/x234/067']);
});
