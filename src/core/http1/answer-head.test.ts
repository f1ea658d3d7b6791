import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnswerHead, type AnswerStart, framingOfAnswer, readStatusLine } from './answer-head.ts';
import { type HeadReading, HeadReader } from './head-reader.ts';

function read(text: string): HeadReading<AnswerStart> {
  return new HeadReader(readStatusLine).read(Buffer.from(text, 'latin1'), 0);
}

function headOf(text: string): AnswerHead {
  const reading = read(text);
  assert.equal(reading.kind, 'head', JSON.stringify(text));
  return (reading as Extract<HeadReading<AnswerStart>, { kind: 'head' }>).head;
}

function framing(line: string, fields: string, method = 'GET'): string {
  return framingOfAnswer(headOf(`${line}\r\n${fields}\r\n`), method).kind;
}

for (const line of [
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2x0 OK',
  'HTTP/1.1 099 OK',
  'HTTP/1.1 200OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.2 200 OK',
  'HTTP/2 200',
  'http/1.1 200 OK',
  'ICY 200 OK',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 O\rK',
]) {
  test(`${JSON.stringify(line)} is no status line`, () => assert.equal(read(`${line}\r\n\r\n`).kind, 'malformed'));
}

function phrase(line: string): string {
  const { start, octets } = headOf(`${line}\r\n\r\n`);
  return Buffer.from(octets.subarray(start.phraseAt, start.phraseEnd)).toString('latin1');
}

test('a phrase is carried on only where it is printable, and may be missing with its space', () => {
  assert.equal(phrase('HTTP/1.1 404 Not Found'), 'Not Found');
  for (const line of ['HTTP/1.1 200', 'HTTP/1.1 200 ', 'HTTP/1.1 200 \u00e9', 'HTTP/1.1 200 a\u0001']) assert.equal(phrase(line), '');
});

test('how an answer’s body ends', () => {
  assert.equal(framing('HTTP/1.1 200 OK', ''), 'close');
  assert.equal(framing('HTTP/1.1 200 OK', 'Content-Length: 5\r\n'), 'length');
  assert.equal(framing('HTTP/1.1 200 OK', 'Content-Length: 0\r\n'), 'none');
  assert.equal(framing('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked\r\n'), 'chunked');
  assert.equal(framing('HTTP/1.0 200 OK', ''), 'close');
});

test('HEAD, 1xx, 204 and 304 end with their head whatever it says', () => {
  assert.equal(framing('HTTP/1.1 200 OK', 'Content-Length: 5\r\n', 'HEAD'), 'none');
  assert.equal(framing('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked\r\n', 'HEAD'), 'none');
  for (const status of [204, 304]) assert.equal(framing(`HTTP/1.1 ${status} X`, 'Content-Length: 5\r\n'), 'none');
  for (const status of [100, 103]) assert.equal(framing(`HTTP/1.1 ${status} X`, 'Content-Length: 0\r\n'), 'none');
});

test('an answer that could be read in two ways is none', () => {
  for (const method of ['GET', 'HEAD']) {
    assert.equal(framing('HTTP/1.1 200 OK', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', method), 'malformed');
    assert.equal(framing('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked\r\n', method), 'malformed');
    for (const field of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n']) {
      assert.equal(framing('HTTP/1.1 103 X', field, method), 'malformed');
    }
  }
});

function seconds(field: string): number {
  return headOf(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n`).fields.idleSeconds;
}

test('how long a service says that it keeps an idle connection', () => {
  assert.equal(seconds('Keep-Alive: timeout=5, max=100'), 5);
  assert.equal(seconds('keep-alive: max=3, timeout=60'), 60);
  for (const field of ['Keep-Alive: max=3', 'Keep-Alive: timeout=', 'Keep-Alive: xtimeout=5', 'X: timeout=5'])
    assert.equal(seconds(field), -1);
});
