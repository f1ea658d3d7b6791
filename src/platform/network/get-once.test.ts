import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { getOnce } from './get-once.ts';

const answerOf = async (head: string) => {
  const [ours, theirs] = duplexPair();
  theirs.resume();
  const answer = getOnce(ours, new URL('http://web.example/'), 100);
  theirs.end(`HTTP/1.1 302 Found\r\n${head}content-length: 0\r\n\r\n`);
  return answer;
};

test('getOnce() takes the first Location, whatever its case, without the blanks around it and with those in it', async () => {
  const blanks = ' \t'.repeat(7_000);
  const cases: readonly (readonly [string, string])[] = [
    ['Location: /a\r\n', '/a'],
    ['x: y\r\nLOCATION:/a\r\nlocation: /b\r\n', '/a'],
    ['location: \t /a \t\r\n', '/a'],
    [`location:${blanks}/a${blanks.slice(0, 1_000)}\r\n`, '/a'],
    [`location: /a${blanks}b\r\n`, `/a${blanks}b`],
    ['location:\r\n', ''],
  ];
  for (const [head, location] of cases) assert.deepEqual(await answerOf(head), { kind: 'redirect', location });
  assert.deepEqual(await answerOf('x-location: /a\r\n'), { kind: 'body', status: 302, body: Buffer.alloc(0) });
});
