import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomOctets } from './random-octets.ts';

test('randomOctets() gives as many as asked for, and none of them twice', () => {
  const given = Array.from({ length: 2_000 }, (_, at) => randomOctets(8 + (at % 25)));
  assert.deepEqual(
    given.map(({ length }) => length),
    Array.from({ length: 2_000 }, (_, at) => 8 + (at % 25)),
  );
  assert.equal(new Set(given.map((octets) => Buffer.from(octets).toString('hex'))).size, given.length);
});

test('randomOctets() leaves what it gave out as it was', () => {
  const first = randomOctets(16);
  const copy = Uint8Array.from(first);
  for (let at = 0; at < 1_000; at++) randomOctets(10);
  assert.deepEqual(first, copy);
  assert.equal(randomOctets(5_000).length, 5_000);
});
