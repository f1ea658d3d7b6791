import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { makeTurnstile } from './turnstile.ts';

test('a turnstile lets one through a turn of the event loop, in the order in which they came', async () => {
  const turn = makeTurnstile();
  const passed: string[] = [];
  const each = ['a', 'b', 'c'].map(async (name) => {
    for (let piece = 1; piece <= 2; piece++) {
      await turn();
      passed.push(`${name}${piece}`);
    }
  });
  const counts: number[] = [];
  const watch = async (): Promise<void> => {
    while (passed.length < 6) {
      await setImmediate();
      counts.push(passed.length);
    }
  };
  await Promise.all([...each, watch()]);
  assert.deepEqual(passed, ['a1', 'b1', 'c1', 'a2', 'b2', 'c2']);
  for (const [at, count] of counts.entries()) assert.ok(count - (counts[at - 1] ?? 0) <= 1, counts.join(' '));
});

test('a turnstile is open again after it was idle', async () => {
  const turn = makeTurnstile();
  await turn();
  await setImmediate();
  await turn();
  await Promise.all([turn(), turn()]);
});
