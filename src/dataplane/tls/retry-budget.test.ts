import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryBudget } from './retry-budget.ts';

const takes = (budget: RetryBudget, tries: number, nowMs: number): number =>
  Array.from({ length: tries }, () => budget.take(nowMs)).filter(Boolean).length;

test('a fifth of the calls may be sent again, and a few a second where calls are rare', () => {
  const budget = new RetryBudget({ percent: 20, minimumPerSecond: 3 }, 0);
  assert.equal(takes(budget, 10, 0), 3);
  assert.equal(takes(budget, 10, 0), 0, 'the second is not over');
  assert.equal(takes(budget, 10, 334), 1);
  for (let call = 0; call < 100; call++) budget.save();
  assert.equal(takes(budget, 100, 334), 20);
  assert.equal(takes(budget, 10, 60_000), 3, 'what was not taken in a minute is no more than a second’s');
});

test('what was saved in a good hour is no budget for a bad one', () => {
  const budget = new RetryBudget({ percent: 100, minimumPerSecond: 0 }, 0);
  for (let call = 0; call < 100_000; call++) budget.save();
  assert.equal(takes(budget, 1_000, 1), 256);
  assert.equal(takes(budget, 1_000, 1_000_000), 0);
});

test('a budget of nothing gives nothing', () => {
  const budget = new RetryBudget({ percent: 0, minimumPerSecond: 0 }, 0);
  for (let call = 0; call < 1_000; call++) budget.save();
  assert.equal(takes(budget, 10, 10_000), 0);
});
