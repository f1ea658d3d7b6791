import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDrillRequest } from './drill-request.ts';

function takeAll(chunks: readonly string[]): {
  readonly whole: readonly boolean[];
  readonly statusLine: string;
  readonly octetsAnswered: number;
} {
  const request = makeDrillRequest('http/1.1', 'orders');
  const whole = chunks.map((chunk) => request.take(Buffer.from(chunk)));
  return { whole, ...request.read() };
}

test('an answer of HTTP/1.1 is whole with the last octet of its length, however it is cut', () => {
  assert.deepEqual(takeAll(['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc']).whole, [true]);
  const cut = takeAll(['HTTP/1.1 200', ' OK\r\ncontent-length:3\r', '\n\r\na', 'b', 'c']);
  assert.deepEqual(cut, { whole: [false, false, false, false, true], statusLine: 'HTTP/1.1 200 OK', octetsAnswered: 40 });
  assert.deepEqual(takeAll(['HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n']).whole, [true]);
});

test('of an answer that names no length, or one that is none, only the end of the connection tells', () => {
  for (const head of [
    'transfer-encoding: chunked',
    'x: y',
    'content-length: -1',
    'content-length: 1e3',
    'content-length: 9999999999',
    'x-content-length: 0',
    'x: content-length: 0',
  ])
    assert.deepEqual(takeAll([`HTTP/1.1 200 OK\r\n${head}\r\n\r\n`, 'abc']).whole, [false, false], head);
  assert.deepEqual(takeAll([`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(5_000)}\r\ncontent-length: 0\r\n\r\n`]).whole, [false]);
  assert.deepEqual(takeAll(['\r\n\r\n']).whole, [false]);
});
