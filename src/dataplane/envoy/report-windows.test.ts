import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportWindows } from './report-windows.ts';

const T = 1_700_000_000_000;
const something = {
  side: 'receiver',
  endpointId: 'e',
  caller: '',
  generation: 1n,
  channel: 'mtls',
  unit: 'call',
  outcome: 'accepted',
  reason: null,
} as const;

function openWindows(start = T + 400) {
  const windows = new ReportWindows(start, () => 1_000);
  const counted = (until: number) => {
    const { start: from, end, counted: found } = windows.take(until);
    return [from - T, end - T, Number(found.counts.reduce((sum, { count }) => sum + count, 0n))];
  };
  return { windows, counted, count: (at: number) => windows.at(at).count(something) };
}

test('what happened counts in the window in which it did, in whatever order it is told', () => {
  const { windows, counted, count } = openWindows();
  for (const at of [2_000, 999, 1_000, 500, 1_999, 2_999]) count(T + at);
  assert.equal(windows.dueAt(T + 3_100), T + 1_000);
  assert.deepEqual(counted(T + 1_000), [400, 1_000, 2]);
  assert.deepEqual(counted(windows.dueAt(T + 3_100)), [1_000, 2_000, 2]);
  assert.deepEqual(counted(windows.dueAt(T + 3_100)), [2_000, 3_000, 2]);
});

test('what comes too late counts once, in the earliest window that is not taken', () => {
  const { counted, count } = openWindows();
  count(T + 500);
  assert.deepEqual(counted(T + 1_000), [400, 1_000, 1]);
  count(T + 600);
  count(0);
  count(T + 2_500);
  assert.deepEqual(counted(T + 2_000), [1_000, 2_000, 2]);
  assert.deepEqual(counted(T + 3_000), [2_000, 3_000, 1]);
  assert.deepEqual(counted(T + 4_000), [3_000, 4_000, 0]);
});

test('a window is not taken before it is over, and the last takes what there is', () => {
  const { windows, counted, count } = openWindows();
  count(T + 700);
  assert.equal(windows.dueAt(T + 800), T + 800);
  count(T + 1_200);
  assert.deepEqual(counted(T + 1_300), [400, 1_300, 2]);
});

test('a window that is cut short loses nothing of its rest', () => {
  const { windows, counted, count } = openWindows();
  count(T + 450);
  assert.deepEqual(counted(T + 600), [400, 600, 1]);
  count(T + 550);
  count(T + 650);
  assert.deepEqual(counted(windows.dueAt(T + 2_100)), [600, 2_000, 2]);
});

test('after a long sleep, or a clock that was set back, windows do not overlap', () => {
  const { windows, counted, count } = openWindows();
  count(T + 500);
  assert.deepEqual(counted(windows.dueAt(T + 3_600_300)), [400, 3_600_000, 1]);
  assert.equal(windows.dueAt(T + 500), T + 3_600_000);
  count(T + 600);
  assert.deepEqual(counted(windows.dueAt(T + 3_601_200)), [3_600_000, 3_601_000, 1]);
});
