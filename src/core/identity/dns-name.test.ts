import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../problems/problem.ts';
import { matchesDnsName, parseDnsName, parseDnsPattern } from './dns-name.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'identity-malformed';

test('parseDnsName() refuses every text that is no host name', () => {
  const refused = [
    '', '.', 'a.', '.a', 'a..b', '-a.test', 'a-.test', 'a_b.test', '*.a.test', 'a b.test', 'a\0.test', 'ä.test', 'a.test\n', '127.0.0.1', '1.2.3', '42',
    'a.1', `${'a'.repeat(64)}.test`, `${'a.'.repeat(127)}aa`, '[::1]', 'a.test:443', 'https://a.test', 'xn--', 'a/b',
  ]; // prettier-ignore
  for (const text of refused) assert.throws(() => parseDnsName(text), isMalformed, JSON.stringify(text));
});

test('parseDnsName() lower-cases', () => {
  assert.equal(parseDnsName('Orders.ACME.test'), 'orders.acme.test');
  assert.equal(parseDnsName('localhost'), 'localhost');
  assert.equal(parseDnsName('xn--bcher-kva.example'), 'xn--bcher-kva.example');
  assert.equal(parseDnsName(`${'a'.repeat(63)}.test`).length, 68);
});

test('parseDnsPattern() refuses wildcards that are not the whole leftmost label of three', () => {
  for (const text of ['*', '*.test', '*.*.test', 'a*.acme.test', 'a.*.test', '**.acme.test', '*.1.2.3.4', '*..test']) {
    assert.throws(() => parseDnsPattern(text), isMalformed, text);
  }
  assert.equal(parseDnsPattern('*.ACME.test'), '*.acme.test');
});

test('matchesDnsName() lets a wildcard stand for exactly one label (RFC 9525 section 6.3)', () => {
  const reference = parseDnsName('orders.acme.test');
  const refused = [
    'acme.test',
    '*.test',
    '*.*.test',
    'o*.acme.test',
    '*orders.acme.test',
    '*.orders.acme.test',
    'orders.acme.test.',
    'orders.acme.tes',
    '*',
    '',
  ];
  for (const presented of refused) assert.equal(matchesDnsName(presented, reference), false, presented);
  for (const presented of ['orders.acme.test', 'ORDERS.acme.TEST', '*.acme.test'])
    assert.equal(matchesDnsName(presented, reference), true, presented);
  assert.equal(matchesDnsName('*.acme.test', parseDnsName('acme.test')), false);
  assert.equal(matchesDnsName('*.acme.test', parseDnsName('a.b.acme.test')), false);
});
