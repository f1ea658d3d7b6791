import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slowestFiles } from './slowest-files.ts';

const result = (line: string, milliseconds: number, file: string): string =>
  `${line}\n  ---\n  duration_ms: ${milliseconds}\n  type: 'test'\n  location: '/r/${file}:3:1'\n  ...\n`;

test('slowestFiles() adds up the top-level tests of each file, failed ones too, and leaves subtests out', () => {
  const inner = `    # Subtest: inner\n    ok 1 - inner\n      ---\n      duration_ms: 90000\n      type: 'test'\n      location: '/r/src/a.test.ts:9:1'\n      ...\n`;
  const reports = [
    `TAP version 13\n${inner}${result('ok 1 - a', 1_500, 'src/a.test.ts')}${result('not ok 2 - b', 2_000, 'src/b.test.ts')}`,
    result('ok 1 - a # SKIP', 1_000, 'src/a.test.ts'),
  ];
  const group = `${inner}${result('ok 1 - on PostgreSQL', 4_000, 'test/support/databases.ts')}`;
  assert.deepEqual(slowestFiles([group], '/r', 2), ['4.0 s src/a.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 2), ['2.5 s src/a.test.ts', '2.0 s src/b.test.ts']);
  assert.deepEqual(slowestFiles(reports, '/r', 1), ['2.5 s src/a.test.ts']);
  assert.deepEqual(slowestFiles([''], '/r', 9), []);
});
