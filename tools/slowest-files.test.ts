import assert from 'node:assert/strict';
import { test } from 'node:test';
import reportFileTimes from './file-times-reporter.ts';
import { slowestFiles } from './slowest-files.ts';

const inner = '1\t90000\t/r/src/a.test.ts\n';

test('slowestFiles() adds up the top-level tests of each file, failed ones too, and leaves subtests out', () => {
  const reports = [`${inner}0\t1500\t/r/src/a.test.ts\n0\t2000\t/r/src/b.test.ts\n`, '0\t1000\t/r/src/a.test.ts\n'];
  assert.deepEqual(slowestFiles([`${inner}0\t4000\t/r/test/support/databases.ts\n`], '/r', 2), ['4.0 s src/a.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 2), ['2.5 s src/a.test.ts', '2.0 s src/b.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 1), ['2.5 s src/a.test.ts']);
  assert.deepEqual(slowestFiles([''], '/r', 9), []);
});

test('the reporter writes down what ended, with the file that it stands in', async () => {
  const events = [
    { type: 'test:start', data: { nesting: 0, file: '/r/a.test.ts' } },
    { type: 'test:pass', data: { nesting: 1, details: { duration_ms: 3 }, file: '/r/a.test.ts' } },
    { type: 'test:fail', data: { nesting: 0, details: { duration_ms: 5 }, file: '/r/a.test.ts' } },
  ];
  const lines = await Array.fromAsync(reportFileTimes(ReadableStream.from(events) as never));
  assert.deepEqual(lines, ['1\t3\t/r/a.test.ts\n', '0\t5\t/r/a.test.ts\n']);
});
