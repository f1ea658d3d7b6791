import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionBook } from './connection-book.ts';

const alice = { endpointId: 'e', caller: 'spiffe://a/alice', channel: 'mtls' } as const;
const nobody = { endpointId: 'e', caller: '', channel: 'tls' } as const;
const chain = { side: 'inbound', endpointId: 'e', channel: 'tls', protocol: 'http' } as const;

test('a connection is new once, whichever log tells of it first', () => {
  const book = new ConnectionBook();
  assert.equal(book.begin('1', alice), true);
  assert.equal(book.begin('1', alice), false);
  book.end('1');
  assert.equal(book.begin('1', alice), false);
  assert.deepEqual(book.split(chain, 0), []);
  book.clear();
  assert.equal(book.begin('1', alice), true);
});

test('a gauge is told apart by who is known, and never more than it says', () => {
  const book = new ConnectionBook();
  for (const number of ['1', '2']) book.begin(number, alice);
  book.begin('3', nobody);
  book.begin('4', { ...alice, endpointId: 'other' });
  assert.deepEqual(book.split(chain, 3), [
    { ...alice, count: 2 },
    { ...nobody, count: 1 },
  ]);
  assert.deepEqual(book.split(chain, 1), [{ ...alice, count: 1 }]);
  assert.deepEqual(book.split({ ...chain, channel: 'plaintext' }, 2), [{ endpointId: 'e', caller: '', channel: 'plaintext', count: 2 }]);
});

test('who stays unknown counts as having proved nothing, who just came does not, and behind a closed door nobody does', () => {
  const book = new ConnectionBook();
  assert.deepEqual([book.split(chain, 2), book.split(chain, 1)], [[], []]);
  assert.deepEqual(book.split(chain, 3), [{ ...nobody, count: 1 }]);
  const closed = new ConnectionBook();
  for (let look = 0; look < 4; look++) assert.deepEqual(closed.split({ ...chain, channel: 'mtls' }, 3), []);
});

test('what it remembers is bounded', () => {
  const book = new ConnectionBook();
  for (let number = 0; number < 30_000; number++) book.begin(String(number), alice);
  assert.equal(
    book.split(chain, 100_000).reduce((sum, { count }) => sum + count, 0),
    20_000,
  );
});
