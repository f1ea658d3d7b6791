import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeRevokedEntry, type RevokedEntry } from './build-certificate-list.ts';
import { countListEntries, mayHoldSerial, mergeListEntries, serialsAmong } from './merge-list-entries.ts';

const entry = (number: number, reason: RevokedEntry['reason'] = 'superseded'): RevokedEntry => ({
  serial: Buffer.from(`01${number.toString(16).padStart(30, '0')}`, 'hex'),
  revokedAt: 1_700_000_000_000,
  reason,
});
const encode = (numbers: readonly number[], reason?: RevokedEntry['reason']): Buffer =>
  Buffer.concat(numbers.map((number) => encodeRevokedEntry(entry(number, reason))));

test('mergeListEntries() keeps what stays, drops what leaves or changed, and adds what came, whatever their number', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 40 });
  fc.assert(
    fc.property(numbers, numbers, numbers, (held, leaving, coming) => {
      const merged = mergeListEntries(encode(held), {
        leaving: leaving.map((number) => entry(number).serial),
        coming: coming.map((number) => entry(number, 'keyCompromise')),
      });
      const kept = held.filter((number) => !leaving.includes(number) && !coming.includes(number));
      assert.equal(Buffer.compare(merged, Buffer.concat([encode(kept), encode(coming, 'keyCompromise')])), 0);
    }),
  );
});

test('mayHoldSerial() never denies a serial that is there', () => {
  const held = encode([1, 2, 3]);
  for (const number of [1, 2, 3]) assert.equal(mayHoldSerial(held, [entry(9).serial, entry(number).serial]), true);
  assert.equal(mayHoldSerial(held, [entry(9).serial]), false);
  assert.equal(mayHoldSerial(held, []), false);
  assert.equal(mayHoldSerial(new Uint8Array(0), [entry(1).serial]), false);
});

test('serialsAmong() tells of each serial whether it has an entry, and countListEntries() how many there are', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 40 });
  fc.assert(
    fc.property(numbers, numbers, (held, asked) => {
      const entries = Buffer.concat(
        held.map((number) => encodeRevokedEntry(entry(number, number % 2 === 0 ? 'unspecified' : 'superseded'))),
      );
      const found = serialsAmong(
        entries,
        asked.map((number) => entry(number).serial),
      );
      assert.deepEqual(
        found,
        asked.map((number) => held.includes(number)),
      );
      assert.equal(countListEntries(entries), held.length);
    }),
  );
});
