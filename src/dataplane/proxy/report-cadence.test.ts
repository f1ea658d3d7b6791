import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../platform/clock/clock.ts';
import { ReportCadence } from './report-cadence.ts';

const START = 1_700_000_000_300;

test('a report is due once in each second of the clock, at the same moment of it', () => {
  const clock = new ManualClock(START);
  const cadence = new ReportCadence(clock, 0.4);
  assert.equal(Math.round(cadence.nextIn(1_000)), 800);
  clock.advance(800);
  assert.equal(Math.round(cadence.nextIn(1_000)), 1_000);
  // It woke too early, or the report took long.
  clock.advance(998);
  assert.equal(Math.round(cadence.nextIn(1_000)), 1_002);
  clock.advance(1_002 + 700);
  assert.equal(Math.round(cadence.nextIn(1_000)), 300);
});

test('what a report took is made up for, what was slept through is not', () => {
  const clock = new ManualClock(START);
  const cadence = new ReportCadence(clock, 0);
  clock.advance(cadence.nextIn(1_000));
  clock.advance(2_500);
  const waits = [cadence.nextIn(1_000), cadence.nextIn(1_000), cadence.nextIn(1_000)];
  assert.deepEqual(waits.map(Math.round), [0, 0, 500]);
  clock.advance(3_600_000);
  assert.ok(cadence.nextIn(1_000) > 0);
});

test('a clock that stands still or is set back makes no flood of reports', () => {
  const clock = new ManualClock(START);
  const cadence = new ReportCadence(clock, 0.9);
  const waits = Array.from({ length: 100 }, () => cadence.nextIn(1_000));
  assert.ok(waits.reduce((sum, wait) => sum + wait, 0) >= 50 * 1_000);
  clock.advance(-7_200_000);
  assert.ok(cadence.nextIn(1_000) <= 1_000);
  assert.ok(cadence.nextIn(100) <= 100);
});

test('not all of a fleet report at once, and nobody later than a quarter', () => {
  const clock = new ManualClock(1_700_000_000_000 - 1);
  const waits = [0, 0.25, 0.5, 0.75, 0.999].map((random) => new ReportCadence(clock, random).nextIn(1_000));
  assert.equal(new Set(waits.map(Math.round)).size, waits.length);
  for (const wait of waits) assert.ok(wait <= 251, String(wait));
});
