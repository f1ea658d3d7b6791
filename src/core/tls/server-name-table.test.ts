import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../problems/problem.ts';
import { makeServerNameTable } from './server-name-table.ts';

const find = makeServerNameTable([
  ['orders.acme.test', 'orders'],
  ['*.acme.test', 'any'],
  ['API.Partner.test', 'partner'],
]);

test('an exact name goes before a wildcard, without regard to case', () => {
  assert.equal(find('orders.acme.test'), 'orders');
  assert.equal(find('ORDERS.acme.TEST'), 'orders');
  assert.equal(find('stock.acme.test'), 'any');
  assert.equal(find('api.partner.test'), 'partner');
});

test('a wildcard stands for exactly one label, and nothing else finds anything', () => {
  const strangers = [null, '', 'acme.test', 'a.b.acme.test', '.acme.test', '*.acme.test', 'xacme.test', 'orders.acme.test.', '192.0.2.1'];
  for (const sni of [...strangers, 'ord ers.acme.test', '_x.acme.test', 'orders.acme.test:443', 'partner.test', 'test', '\xe4.acme.test']) {
    assert.equal(find(sni), null, String(sni));
  }
});

test('what is no pattern makes no table', () => {
  for (const pattern of ['', '*', '*.', '*.test', '*.*.acme.test', 'a.*.test', 'x*.acme.test', '192.0.2.1', 'a b.test']) {
    assert.throws(
      () => makeServerNameTable([[pattern, 1]]),
      (error) => error instanceof Problem && error.code === 'identity-malformed',
      pattern,
    );
  }
});
