import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { takeCells } from './gcra.ts';

const now = 1_800_000_000_000;
const rate = { burst: 5, periodMs: 60_000 };

test('takeCells() gives a burst at once, then one for each interval, and says how long to wait', () => {
  let arrivalAt: number | null = null;
  for (let at = 0; at < 5; at++) {
    const outcome = takeCells(now, arrivalAt, rate);
    assert.ok(outcome.kind === 'taken', `cell ${at}`);
    arrivalAt = outcome.arrivalAt;
  }
  assert.deepEqual(takeCells(now, arrivalAt, rate), { kind: 'refused', retryAfterMs: 12_000 });
  assert.equal(takeCells(now + 11_999, arrivalAt, rate).kind, 'refused');
  assert.equal(takeCells(now + 12_000, arrivalAt, rate).kind, 'taken');
});

test('a clock that was set back closes the door for no longer than a period', () => {
  const far = takeCells(now, now + 1_000 * rate.periodMs, rate);
  assert.ok(far.kind === 'refused' && far.retryAfterMs <= rate.periodMs);
});

test('in any run of requests, none period sees more than two bursts, and whoever waits as told is let in', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (waits) => {
      let [at, arrivalAt] = [now, null as number | null];
      const taken: number[] = [];
      for (const wait of waits) {
        at += wait;
        const outcome = takeCells(at, arrivalAt, rate);
        if (outcome.kind === 'taken') {
          arrivalAt = outcome.arrivalAt;
          taken.push(at);
        } else if (takeCells(at + outcome.retryAfterMs, arrivalAt, rate).kind !== 'taken') return false;
      }
      return taken.every((start) => taken.filter((other) => other >= start && other < start + rate.periodMs).length <= 2 * rate.burst);
    }),
  );
});
