import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSignal } from '../platform/clock/signal.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { runReconciler } from './run-reconciler.ts';

const NEVER_MS = 2_000_000_000;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function failAtOnce(): Promise<void> {
  throw new Error('at once');
}

/** A reconciler whose runs the test ends by hand, in the order in which they began. */
function open({ intervalMs = NEVER_MS } = {}) {
  const wake = makeSignal();
  const metrics = createMetrics();
  const logged: { readonly level: string; readonly event: string; readonly fields: object | undefined }[] = [];
  const runs: PromiseWithResolvers<void>[] = [];
  let begun = Promise.withResolvers<void>();
  let active = 0;
  const run = async (): Promise<void> => {
    assert.equal(++active, 1, 'never two at a time');
    const ending = Promise.withResolvers<void>();
    runs.push(ending);
    begun.resolve();
    begun = Promise.withResolvers();
    await ending.promise.finally(() => active--);
  };
  const running = runReconciler(
    { name: 'test', run, wakes: [wake], intervalMs },
    { metrics, log: (level, event, fields) => void logged.push({ level, event, fields }) },
  );
  return {
    wake,
    metrics,
    logged,
    running,
    runs,
    /** Resolves when the run of this number, from 1, has begun. */
    async untilRun(number: number): Promise<void> {
      while (runs.length < number) await begun.promise;
    },
  };
}

test('a reconciler runs at once, and then when it is woken', async () => {
  const { running, runs, wake, untilRun } = open();
  await untilRun(1);
  runs[0]!.resolve();
  await turn();
  assert.equal(runs.length, 1);
  wake.notify();
  await untilRun(2);
  runs[1]!.resolve();
  await running[Symbol.asyncDispose]();
});

test('wakes during a run make one more run, however many they are', async () => {
  const { running, runs, wake, untilRun } = open();
  await untilRun(1);
  for (let count = 0; count < 3; count++) {
    wake.notify();
    await turn();
  }
  assert.equal(runs.length, 1);
  runs[0]!.resolve();
  await untilRun(2);
  runs[1]!.resolve();
  await turn();
  await turn();
  assert.equal(runs.length, 2);
  await running[Symbol.asyncDispose]();
});

test('a reconciler runs by its timer where nobody wakes it', async () => {
  const { running, runs, untilRun } = open({ intervalMs: 1 });
  for (let number = 1; number <= 3; number++) {
    await untilRun(number);
    runs[number - 1]!.resolve();
  }
  const ended = running[Symbol.asyncDispose]();
  runs.at(-1)!.resolve();
  await ended;
});

test('a run that fails is counted and logged with its error, and the next one runs', async () => {
  const { running, runs, wake, metrics, logged, untilRun } = open();
  await untilRun(1);
  const error = new Error('the database is away');
  runs[0]!.reject(error);
  await turn();
  assert.deepEqual(logged, [{ level: 'error', event: 'reconcile failed', fields: { reconciler: 'test', err: error } }]);
  assert.match(metrics.render(), /^countersign_reconcile_failures_total\{reconciler="test"\} 1$/m);
  wake.notify();
  await untilRun(2);
  runs[1]!.resolve();
  await turn();
  assert.match(metrics.render(), /^countersign_reconcile_failures_total\{reconciler="test"\} 1$/m);
  assert.match(metrics.render(), /^countersign_reconcile_seconds_total\{reconciler="test"\} /m);
  await running[Symbol.asyncDispose]();
});

test('a run that throws at once is a failed one', async () => {
  const metrics = createMetrics();
  const running = runReconciler({ name: 'test', run: failAtOnce, wakes: [], intervalMs: NEVER_MS }, { metrics, log: () => undefined });
  await running[Symbol.asyncDispose]();
  assert.match(metrics.render(), /failures_total\{reconciler="test"\} 1$/m);
});

test('its end waits for the run under way, and nothing runs afterwards', async () => {
  const { running, runs, wake, untilRun } = open({ intervalMs: 1 });
  await untilRun(1);
  wake.notify();
  await turn();
  let isEnded = false;
  const ended = Promise.resolve(running[Symbol.asyncDispose]()).then(() => (isEnded = true));
  await turn();
  assert.equal(isEnded, false);
  runs[0]!.resolve();
  await ended;
  wake.notify();
  await turn();
  await turn();
  assert.equal(runs.length, 1);
});
