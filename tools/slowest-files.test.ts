import assert from 'node:assert/strict';
import { test } from 'node:test';
import reportEndings from './endings-reporter.ts';
import { slowestFiles } from './slowest-files.ts';

const inner = '1\t90000\t/r/src/a.test.ts\t\n';

test('slowestFiles() adds up the top-level tests of each file, failed ones too, and leaves subtests out', () => {
  const reports = [`${inner}0\t1500\t/r/src/a.test.ts\t\n0\t2000\t/r/src/b.test.ts\t\n`, '0\t1000\t/r/src/a.test.ts\t\n0\t7000\t\t\n'];
  assert.deepEqual(slowestFiles([`${inner}0\t4000\t/r/test/support/databases.ts\t\n`], '/r', 2), ['4.0 s src/a.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 2), ['2.5 s src/a.test.ts', '2.0 s src/b.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 1), ['2.5 s src/a.test.ts']);
  assert.deepEqual(slowestFiles([''], '/r', 9), []);
});

test('the reporter writes down what ended, with the file that it stands in, and names what was left out', async () => {
  const events = [
    { type: 'test:start', data: { nesting: 0, file: '/r/a.test.ts' } },
    { type: 'test:pass', data: { name: 'a', nesting: 1, details: { duration_ms: 3 }, file: '/r/a.test.ts' } },
    { type: 'test:pass', data: { name: 'b', nesting: 1, details: { duration_ms: 0 }, file: '/r/a.test.ts', skip: 'no peer here' } },
    { type: 'test:pass', data: { name: 'c', nesting: 1, details: { duration_ms: 0 }, skip: true } },
    { type: 'test:fail', data: { name: 'd', nesting: 0, details: { duration_ms: 5 }, file: '/r/a.test.ts' } },
  ];
  const lines = await Array.fromAsync(reportEndings(ReadableStream.from(events) as never));
  assert.deepEqual(lines, ['1\t3\t/r/a.test.ts\t\n', '1\t0\t/r/a.test.ts\tb (no peer here)\n', '1\t0\t\tc\n', '0\t5\t/r/a.test.ts\t\n']);
});
