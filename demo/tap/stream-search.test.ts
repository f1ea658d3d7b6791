import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamSearch } from './stream-search.ts';

const id = '0123456789abcdef0123';
const text = `POST / HTTP/1.1\r\nx-call-id: ${id}\r\n\r\nhello marker-42, marker-42`;

test('StreamSearch finds the marker and the call id however the stream is cut', () => {
  for (let first = 0; first <= text.length; first += 1) {
    for (const second of [first, Math.min(text.length, first + 1), Math.min(text.length, first + 30)]) {
      const search = new StreamSearch('marker-42');
      const found = [text.slice(0, first), text.slice(first, second), text.slice(second)].map((part) => search.search(Buffer.from(part)));
      assert.equal(
        found.reduce((sum, { markers }) => sum + markers, 0),
        2,
        `cut at ${first} and ${second}`,
      );
      assert.deepEqual(
        found.flatMap(({ callIds }) => callIds),
        [id],
        `cut at ${first} and ${second}`,
      );
    }
  }
});

test('StreamSearch finds the marker octet by octet', () => {
  const search = new StreamSearch('marker-42');
  const found = [...Buffer.from(text)].map((octet) => search.search(Buffer.from([octet])).markers);
  assert.equal(found.filter((count) => count > 0).length, 2);
});

test('StreamSearch does not find what is not whole', () => {
  const search = new StreamSearch('marker-42');
  assert.deepEqual(search.search(Buffer.from('marker-4')), { markers: 0, callIds: [] });
  assert.deepEqual(search.search(Buffer.from('1 x-call-id: 0123')), { markers: 0, callIds: [] });
});

test('StreamSearch keeps the directions of a connection apart', () => {
  const [there, back] = [new StreamSearch('marker-42'), new StreamSearch('marker-42')];
  assert.equal(there.search(Buffer.from('marker')).markers + back.search(Buffer.from('-42')).markers, 0);
});
