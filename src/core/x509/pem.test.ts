import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../problems/problem.ts';
import { decodePem, encodePem } from './pem.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';
const block = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;

test('decodePem() refuses what is cut, empty or not base64', () => {
  const refused = ['', 'A', 'AAA', 'AA=', 'AAAA=', 'AB==', 'AA*A', 'A===', 'AAAA\nProc-Type: 4,ENCRYPTED'];
  for (const body of refused) assert.throws(() => decodePem(block(body), 'CERTIFICATE'), isMalformed, body);
  assert.throws(() => decodePem('-----BEGIN CERTIFICATE-----\nAAAA\n', 'CERTIFICATE'), isMalformed);
  assert.throws(() => decodePem(block('AAAA').repeat(1001), 'CERTIFICATE'), isMalformed);
});

test('decodePem() passes over other labels and text between the blocks', () => {
  const text = `subject=CN = x\n${block('AAAA')}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\r\n${block('AQID').replaceAll('\n', '\r\n')}`;
  assert.deepEqual(decodePem(text, 'CERTIFICATE'), [Uint8Array.of(0, 0, 0), Uint8Array.of(1, 2, 3)]);
  assert.deepEqual(decodePem('', 'CERTIFICATE'), []);
});

test('PEM survives the round trip, in lines of 64', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 4 }), (blocks) => {
      const text = blocks.map((der) => encodePem('CERTIFICATE', der)).join('');
      assert.deepEqual(decodePem(text, 'CERTIFICATE'), blocks);
      assert.ok(text.split('\n').every((line) => line.length <= 64));
    }),
  );
});
