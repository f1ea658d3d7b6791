import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import fc from 'fast-check';
import { readByLlhttp } from '../../../test/support/llhttp.ts';
import { cutAt, readByUs } from '../../../test/support/read-http1.ts';
import { methods } from './request-head.ts';

const startLine = fc.constantFrom(
  'GET / HTTP/1.1',
  'GET /a%2Fb?c=d&e HTTP/1.1',
  'POST / HTTP/1.1',
  'POST / HTTP/1.0',
  'M-SEARCH /x HTTP/1.1',
  'GET  / HTTP/1.1',
  'GET /  HTTP/1.1',
  'GET / HTTP/1.1 ',
  'get / HTTP/1.1',
  'GET /a b HTTP/1.1',
  'GET /#a HTTP/1.1',
  'GET /\u00e9 HTTP/1.1',
  'GET http://a/ HTTP/1.1',
  'GET * HTTP/1.1',
  'CONNECT a:1 HTTP/1.1',
  'GET / HTTP/1.2',
  'GET / HTTP/2.0',
  'GET / HTTP/0.9',
  'GET / http/1.1',
  'GET /',
  '\tGET / HTTP/1.1',
  '',
);
const statusLine = fc.constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 ',
  'HTTP/1.1 200',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 204 No',
  'HTTP/1.1 304 No',
  'HTTP/1.1 404 Not Found \u00e9',
  'HTTP/1.1 100 Continue',
  'HTTP/1.1  200 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 200OK',
  'HTTP/1.2 200 OK',
  'HTTP/2 200',
);
const field = fc.constantFrom(
  'Host: a',
  'Host:a',
  'host: b:80',
  'Host: a b',
  'X-A: 1',
  'X-A:\t1\t',
  'X-A:',
  'X A: 1',
  'X-A : 1',
  ' X-A: 1',
  '\tfolded',
  ': 1',
  'X-A',
  'X-\u00e9: 1',
  'X-A: \u00e9',
  'X-A: \u0001',
  'X-A: \u007f',
  'X-A: a\rb',
  'X-A: a\nb',
  'Content-Length: 3',
  'Content-Length:3',
  'Content-Length:  3 ',
  'Content-Length: 3\t',
  'Content-Length:\t3',
  'Content-Length: +3',
  'Content-Length: -3',
  'Content-Length: 3, 3',
  'Content-Length: 0x3',
  'Content-Length: 03',
  'Content-Length: ',
  'Content-Length: 3 3',
  'Content-Length: 99999999999999999999',
  'Content_Length: 3',
  'content-length: 0',
  'Transfer-Encoding: chunked',
  'transfer-encoding:chunked ',
  'Transfer-Encoding: CHUNKED',
  'Transfer-Encoding: chunked\t',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: "chunked"',
  'Transfer_Encoding: chunked',
  'Transfer-Encoding : chunked',
  'Connection: close',
  'Connection: keep-alive, x-a',
  'Connection: upgrade',
  'Upgrade: websocket',
  'Expect: 100-continue',
);
const lineEnd = fc.oneof(
  { weight: 20, arbitrary: fc.constant('\r\n') },
  fc.constantFrom('\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n\r\n'),
);
const chunk = fc.constantFrom(
  '3\r\nabc\r\n',
  '003\r\nabc\r\n',
  'A\r\n0123456789\r\n',
  'a\r\n0123456789\r\n',
  '3;a\r\nabc\r\n',
  '3;a=b\r\nabc\r\n',
  '3;a="b c"\r\nabc\r\n',
  '3;a=b;c=d\r\nabc\r\n',
  '3;\r\nabc\r\n',
  '3;a=\r\nabc\r\n',
  '3 \r\nabc\r\n',
  '3\t;a\r\nabc\r\n',
  '3; a\r\nabc\r\n',
  '3;a\nabc\r\n',
  '3\nabc\r\n',
  '3\r\nabc\n',
  '3\r\nabcd\r\n',
  '3\r\nab\r\n',
  '0x3\r\nabc\r\n',
  '-3\r\nabc\r\n',
  'g\r\n',
  '\r\n',
  'fffffffff\r\nabc\r\n',
  '0\r\n',
);
const body = fc.oneof(
  fc.constantFrom('', 'abc', 'abcd', 'ab', '0\r\n\r\n', 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'),
  fc
    .tuple(
      fc.array(chunk, { maxLength: 4 }),
      fc.constantFrom('0\r\n\r\n', '0\r\nX-T: 1\r\n\r\n', '0\r\nX T: 1\r\n\r\n', '0;a\r\n\r\n', '00\r\n\r\n', '0\n\n', ''),
    )
    .map(([chunks, end]) => chunks.join('') + end),
);

function messagesFrom(start: fc.Arbitrary<string>): fc.Arbitrary<Buffer> {
  // Mostly of good parts, so that there is something to be accepted.
  const good = fc.constantFrom('X-A: 1', 'Content-Length: 3', 'Transfer-Encoding: chunked', 'Connection: close', 'Cookie: a=b');
  const fields = fc.array(fc.oneof({ weight: 3, arbitrary: good }, field), { maxLength: 4 });
  const message = fc
    .tuple(
      fc.oneof({ weight: 2, arbitrary: fc.constantFrom('GET / HTTP/1.1', 'POST /p HTTP/1.1', 'HTTP/1.1 200 OK') }, start),
      fields,
      fc.array(lineEnd, { minLength: 7, maxLength: 7 }),
      body,
    )
    .map(([first, lines, ends, content]) => {
      const all = [first, ...(first.startsWith('HTTP') ? [] : ['Host: a']), ...lines];
      return `${all.map((line, at) => `${line}${ends[at]}`).join('')}\r\n${content}`;
    });
  return fc.array(message, { minLength: 1, maxLength: 3 }).map((messages) => Buffer.from(messages.join(''), 'latin1'));
}

/** Random changes of octets, so that nothing hangs on what the lists above thought of. */
const edits = fc.array(fc.tuple(fc.nat(400), fc.integer({ min: 0, max: 255 }), fc.boolean()), { maxLength: 3 });

function edited(octets: Buffer, changes: readonly (readonly [number, number, boolean])[]): Buffer {
  let result = octets;
  for (const [place, octet, inserts] of changes) {
    const at = place % (result.length + 1);
    result = Buffer.concat([result.subarray(0, at), Buffer.from([octet]), result.subarray(inserts ? at : at + 1)]);
  }
  return result;
}

for (const [type, start] of [
  ['request', startLine],
  ['answer', statusLine],
] as const) {
  test(`what is accepted as ${type} is what llhttp reads in it, message by message, and the reading ends where llhttp's does`, () => {
    let accepted = 0;
    fc.assert(
      fc.property(messagesFrom(start), edits, fc.array(fc.nat(600), { maxLength: 5 }), (message, changes, cuts) => {
        const octets = edited(message, changes);
        const ours = readByUs(cutAt(octets, cuts), type);
        accepted += ours.messages.length;
        // Just what we took, so that what follows of it is no excuse.
        const theirs = readByLlhttp(octets.subarray(0, ours.used), type);
        assert.deepEqual(theirs, { messages: ours.messages, isRefused: false }, JSON.stringify(octets.toString('latin1')));
      }),
      { numRuns: 4_000 },
    );
    assert.ok(accepted > 150, `${accepted} messages: too few to say anything`);
  });

  test(`where the octets of a ${type} are cut makes no difference`, () => {
    fc.assert(
      fc.property(messagesFrom(start), edits, fc.array(fc.nat(600), { maxLength: 20 }), (message, changes, cuts) => {
        const octets = edited(message, changes);
        const { messages, used, isBetween } = readByUs([octets], type);
        // What is refused in one piece may only be waiting for the end of its line in several.
        for (const places of [cuts, [...octets.keys()]]) {
          const reading = readByUs(cutAt(octets, places), type);
          assert.deepEqual([reading.messages, reading.used, reading.isBetween], [messages, used, isBetween]);
        }
      }),
      { numRuns: 600 },
    );
  });
}

test('the methods are those of Node without the one that asks for a tunnel', () => {
  assert.deepEqual([...methods].toSorted(), METHODS.filter((method) => method !== 'CONNECT').toSorted());
});
