import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VettedEntries } from './vetted-entries.ts';

test('VettedEntries gives what was kept last, never to a list of an earlier time or of another name', () => {
  const vetted = new VettedEntries();
  assert.equal(vetted.find('a/0', 1_000), null);
  vetted.keep('a/0', Uint8Array.of(1), 1_000);
  vetted.keep('a/0', Uint8Array.of(1, 2), 2_000);
  assert.deepEqual(vetted.find('a/0', 2_000), Uint8Array.of(1, 2));
  assert.deepEqual(vetted.find('a/0', 3_000), Uint8Array.of(1, 2));
  assert.equal(vetted.find('a/0', 1_999), null, 'earlier');
  assert.equal(vetted.find('a/1', 2_000), null, 'another list');
});

test('VettedEntries is bounded: what was kept longest ago goes, and what is too large by itself is not kept', () => {
  const vetted = new VettedEntries();
  for (let list = 0; list < 20; list++) vetted.keep(`a/${list}`, new Uint8Array(2 ** 20), 1);
  const left = Array.from({ length: 20 }, (_, list) => vetted.find(`a/${list}`, 1) !== null);
  assert.deepEqual(left, [...Array<boolean>(4).fill(false), ...Array<boolean>(16).fill(true)]);
  vetted.keep('a/19', new Uint8Array(17 * 2 ** 20), 1);
  assert.equal(vetted.find('a/19', 1), null);
});
