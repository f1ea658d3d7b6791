import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFlags } from './flags.ts';

test('readFlags() reads what is documented', () => {
  const flags = readFlags(['--once', '--json', '--short', '--sabotage', 'no-drain']);
  assert.deepEqual(flags, { once: true, json: true, keep: false, short: true, sabotage: 'no-drain', plane: 'native' });
});

test('readFlags() takes each plane', () => {
  assert.deepEqual(
    ['native', 'envoy', 'mixed'].map((plane) => readFlags(['--plane', plane]).plane),
    ['native', 'envoy', 'mixed'],
  );
});

test('readFlags() refuses what it does not know', () => {
  assert.throws(() => readFlags(['--sabotage=everything']), /expected no-revocation-push, no-drain/);
  assert.throws(() => readFlags(['--plane=quic']), /expected native, envoy, mixed/);
  assert.throws(() => readFlags(['--twice']), /twice/);
  assert.throws(() => readFlags(['more']), /more/);
});
