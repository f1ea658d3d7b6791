import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePathPattern } from '../routes/call-pattern.ts';
import { isNamedCall, isNarrowRange } from './anonymous-exception.ts';

const named = (path: string, methods: readonly string[] = ['GET'], host = ''): boolean =>
  isNamedCall({ methods, host, path: parsePathPattern(path) });

test('isNamedCall() takes what is written out from its first segment on', () => {
  for (const path of ['/', '/healthz', '/healthz/*', '/metrics/**', '/grpc.health.v1.Health/Check', '/.well-known/security.txt'])
    assert.equal(named(path), true, path);
});

for (const path of ['/**', '/*', '/*/healthz', '/*/**', '/.well-known/**', '/.well-known/*/probe', '/.well-known/countersign/probe']) {
  test(`isNamedCall() refuses ${path}`, () => {
    assert.equal(named(path), false);
    assert.equal(named(path, ['POST'], 'api.example'), false, 'whatever its methods and host');
  });
}

test('isNamedCall() refuses a pattern without methods', () => assert.equal(named('/healthz', []), false));

test('isNarrowRange() takes ranges of one cluster or site', () => {
  for (const range of ['10.1.0.0/16', '10.1.2.3/32', '127.0.0.0/16', '2001:db8:1::/48', '::1/128', '::ffff:10.1.0.0/112'])
    assert.equal(isNarrowRange(range), true, range);
});

for (const range of [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.0.0.0/15',
  '::/0',
  '2001:db8::/32',
  '::/48',
  '::/80',
  '::ffff:0.0.0.0/96',
  '::ffff:10.0.0.0/104',
]) {
  test(`isNarrowRange() refuses ${range}`, () => assert.equal(isNarrowRange(range), false));
}
