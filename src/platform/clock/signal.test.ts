import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSignal } from './signal.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('notify() calls every listener once for several calls in one turn', async () => {
  const signal = makeSignal();
  const heard: string[] = [];
  using _first = signal.subscribe(() => heard.push('first'));
  using _second = signal.subscribe(() => heard.push('second'));
  signal.notify();
  signal.notify();
  assert.deepEqual(heard, [], 'the notifier does not run listeners itself');
  await turn();
  assert.deepEqual(heard, ['first', 'second']);
  signal.notify();
  await turn();
  assert.equal(heard.length, 4);
});

test('a disposed subscription hears nothing, even of a call already on its way', async () => {
  const signal = makeSignal();
  let heard = 0;
  const subscription = signal.subscribe(() => heard++);
  signal.notify();
  subscription[Symbol.dispose]();
  await turn();
  assert.equal(heard, 0);
});

test('the same function subscribed twice is two subscriptions', async () => {
  const signal = makeSignal();
  let heard = 0;
  const listener = (): void => void heard++;
  const first = signal.subscribe(listener);
  using _second = signal.subscribe(listener);
  first[Symbol.dispose]();
  signal.notify();
  await turn();
  assert.equal(heard, 1);
});
