import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { UsageError } from './command.ts';
import { workerCountOf } from './worker-count.ts';

test('a number of workers is one that this machine can carry', () => {
  assert.equal(workerCountOf('1'), 1);
  assert.equal(workerCountOf('64'), 64);
  assert.equal(workerCountOf('auto'), Math.min(64, availableParallelism()));
});

test('what is no number of workers is refused', () => {
  for (const wrong of ['0', '65', '-1', '+2', '1.5', '1e1', 'two', 'AUTO', ' 2', '', '0x2', '9999'])
    assert.throws(() => workerCountOf(wrong), UsageError, wrong);
});
