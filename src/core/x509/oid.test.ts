import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../problems/problem.ts';
import { DerReader } from './der.ts';
import { encodeOid, oidText, oids, readOid } from './oid.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';

test('oidText() refuses identifiers that are empty, cut, not minimal or beyond bounds', () => {
  for (const text of ['', '80', '8001', '2a8001', '2a80', '2aff', `2a${'ff'.repeat(19)}7f`, '2a'.repeat(65)]) {
    assert.throws(() => oidText(Buffer.from(text, 'hex')), isMalformed, text);
  }
});

test('oidText() reads the examples of X.690 and of the first arcs', () => {
  assert.equal(oidText(Buffer.from('883703', 'hex')), '2.999.3');
  assert.equal(oidText(Buffer.from('2a864886f70d01010b', 'hex')), oids.sha256WithRsa);
  assert.equal(oidText(Buffer.from('00', 'hex')), '0.0');
  assert.equal(oidText(Buffer.from('4f', 'hex')), '1.39');
  assert.equal(oidText(Buffer.from('50', 'hex')), '2.0');
  // An arc made of a UUID (X.667 section 6.3).
  assert.equal(oidText(Buffer.from(`6983ffff${'ff'.repeat(15)}7f`, 'hex')), `2.25.${2n ** 128n - 1n}`);
});

test('every identifier of the house survives its encoding, and all differ', () => {
  const seen = new Set<string>();
  for (const dotted of Object.values(oids)) {
    assert.equal(readOid(DerReader.over(encodeOid(dotted))), dotted);
    seen.add(dotted);
  }
  assert.equal(seen.size, Object.keys(oids).length);
});

test('identifiers survive the round trip', () => {
  const dotted = fc
    .tuple(fc.nat(2), fc.nat(39), fc.array(fc.nat(2 ** 31 - 1), { maxLength: 6 }))
    .map(([first, second, others]) => [first, second, ...others].join('.'));
  fc.assert(fc.property(dotted, (text) => assert.equal(readOid(DerReader.over(encodeOid(text))), text)));
});
