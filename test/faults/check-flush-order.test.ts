import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFlushOrder } from './check-flush-order.ts';
import { readTrace } from './read-trace.ts';

const socket = '7<TCP:[127.0.0.1:8443->127.0.0.1:5555]>';
const wal = '9</data/state.sqlite-wal>';
const request = `10   read(${socket}, ""..., 65536) = 900`;
const commit = [`10   pwrite64(${wal}, ""..., 4096, 32) = 4096`, `10   fdatasync(${wal}) = 0`];
const answer = `10   write(${socket}, ""..., 1500) = 1500`;

function judge(...lines: string[]): readonly string[] {
  return checkFlushOrder(readTrace(lines.join('\n')), { clientPort: 5555, requests: 1 }).violations;
}

test('checkFlushOrder() takes an answer after two flushed commits', () => {
  assert.deepEqual(judge(request, ...commit, ...commit, answer), []);
});

test('checkFlushOrder() sees every order that could lose what was answered', () => {
  const cases: { readonly [name: string]: readonly string[] } = {
    'an answer before both commits': [request, answer, ...commit, ...commit],
    'an answer between the commits': [request, ...commit, answer, ...commit],
    'an answer between write and flush': [request, ...commit, commit[0]!, answer, commit[1]!],
    'one commit only': [request, ...commit, answer],
    'two flushes of one write': [request, ...commit, commit[1]!, answer],
    'commits of an earlier request': [...commit, ...commit, request, answer],
    'no flush at all': [request, commit[0]!, commit[0]!, answer],
    'a flush that failed': [request, ...commit, commit[0]!, `10   fdatasync(${wal}) = -1 EIO (Input/output error)`, answer],
    'a flush of another file': [request, ...commit, commit[0]!, '10   fdatasync(9</data/other>) = 0', answer],
    'a flush that another thread has begun and not ended': [
      request,
      ...commit,
      commit[0]!,
      `11   fdatasync(${wal} <unfinished ...>`,
      answer,
      '11   <... fdatasync resumed>) = 0',
    ],
    'no such connection': [request.replace('5555', '5556'), ...commit, ...commit, answer],
  };
  for (const [name, lines] of Object.entries(cases)) assert.notDeepEqual(judge(...lines), [], name);
});

test('readTrace() joins what another thread came between', () => {
  const [first, second] = readTrace(
    [`10   fdatasync(${wal} <unfinished ...>`, `11   read(3</x>, ""..., 5) = 5`, '10   <... fdatasync resumed>) = 0'].join('\n'),
  );
  assert.deepEqual(first, { name: 'read', target: '/x', result: 5, begunAt: 1, endedAt: 1 });
  assert.deepEqual(second, { name: 'fdatasync', target: '/data/state.sqlite-wal', result: 0, begunAt: 0, endedAt: 2 });
});

test('readTrace() leaves out what is no call with a descriptor, and calls that never ended', () => {
  const lines = [
    '10   --- SIGTERM ---',
    '10   +++ exited with 0 +++',
    '10   write(1</x>, ""..., 4) = ? ERESTARTSYS',
    `10   fsync(${wal} <unfinished ...>`,
    '',
  ];
  assert.deepEqual(readTrace(lines.join('\n')), []);
});
