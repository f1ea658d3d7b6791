import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnEnds } from './own-ends.ts';

test('two handshakes from one port are two, and whoever comes from it after them is not ours', () => {
  const ends = new OwnEnds();
  ends.add('127.0.0.1:5000');
  ends.add('127.0.0.1:5000');
  assert.deepEqual([ends.take('127.0.0.1:5000'), ends.has('127.0.0.1:5000')], [true, true]);
  assert.deepEqual([ends.take('127.0.0.1:5000'), ends.has('127.0.0.1:5000')], [true, false]);
  assert.equal(ends.take('127.0.0.1:5000'), false);
  assert.equal(ends.take('127.0.0.1:5001'), false);
});

test('ends that Envoy never told of are forgotten, the oldest first', () => {
  const ends = new OwnEnds();
  for (let port = 1; port <= 4_000; port++) ends.add(`127.0.0.1:${port}`);
  ends.add('127.0.0.1:1');
  ends.add('127.0.0.1:4001');
  assert.deepEqual([ends.has('127.0.0.1:2'), ends.has('127.0.0.1:1'), ends.has('127.0.0.1:4001')], [false, true, true]);
});
