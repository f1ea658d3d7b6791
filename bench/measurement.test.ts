import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize } from './measurement.ts';

const figure = (contender: string, value: number) => ({ contender, metric: 'ready_ms', unit: 'ms', value });

test('summarize() gives the median, the spread and the number of runs of each contender', () => {
  const rows = summarize([figure('a', 9), figure('b', 1), figure('a', 1), figure('b', 3), figure('a', 2)]);
  assert.deepEqual(rows, [
    { contender: 'a', metric: 'ready_ms', unit: 'ms', value: 2, min: 1, max: 9, runs: 3 },
    { contender: 'b', metric: 'ready_ms', unit: 'ms', value: 2, min: 1, max: 3, runs: 2 },
  ]);
});
