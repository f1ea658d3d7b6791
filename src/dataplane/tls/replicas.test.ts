import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_REPLICA_SETTINGS, type ReplicaSettings } from './replica-settings.ts';
import type { ReplicaEvent } from '../../core/tls/replica-event.ts';
import { Replicas } from './replicas.ts';

const EJECTION = { failures: 3, baseMs: 3_600_000, maximumPercent: 50 };
const CHECK = {
  question: { kind: 'connect' },
  intervalMs: 1_000,
  timeoutMs: 1_000,
  healthyAfter: 2,
  unhealthyAfter: 3,
  panicPercent: 50,
} as const;

function make(count: number, settings: Partial<ReplicaSettings>, onEvent: (event: ReplicaEvent) => void = () => {}) {
  const events: ReplicaEvent[] = [];
  const addresses = Array.from({ length: count }, (_, at) => ({ kind: 'internet', host: '192.0.2.1', port: at }) as const);
  const replicas = new Replicas(addresses, { ...NO_REPLICA_SETTINGS, ...settings }, (event) => {
    events.push(event);
    onEvent(event);
  });
  const turns = (): string => Array.from({ length: 2 * count }, () => replicas.next()).join('');
  const fail = (index: number, times: number): void => {
    for (let time = 0; time < times; time++) replicas.note(index, false);
  };
  const check = (index: number, isGood: boolean, times: number): void => {
    for (let time = 0; time < times; time++) replicas.noteCheck(index, isGood);
  };
  return { replicas, events, turns, fail, check };
}

test('calls go round, and whatever fails goes on being called where nothing is declared', () => {
  const { replicas, events, turns, fail, check } = make(3, {});
  fail(1, 100);
  check(2, false, 100);
  assert.equal(turns(), '012012');
  assert.deepEqual([replicas.orderFrom(2), events], [[2, 0, 1], []]);
});

test('a replica that fails so often in a row is left out, and is the last to be tried', () => {
  const { replicas, events, turns, fail } = make(3, { ejection: EJECTION });
  fail(1, 2);
  replicas.note(1, true);
  fail(1, 2);
  assert.equal(turns(), '012012', 'not in a row');
  fail(1, 1);
  assert.equal(turns(), '020202');
  assert.deepEqual([replicas.orderFrom(1), replicas.out, events], [[2, 0, 1], 1, ['ejected']]);
  replicas.stop();
});

for (const [count, percent, out] of [
  [1, 100, 0],
  [2, 49, 0],
  [2, 50, 1],
  [2, 100, 1],
  [4, 50, 2],
  [4, 100, 3],
  [10, 33, 3],
] as const) {
  test(`of ${count} replicas that all fail at most ${percent} % are left out, and never the last: ${out}`, () => {
    const { replicas, turns, fail } = make(count, { ejection: { ...EJECTION, maximumPercent: percent } });
    for (let index = 0; index < count; index++) fail(index, 50);
    assert.equal(replicas.out, out);
    assert.equal(new Set(turns()).size, count - out);
    replicas.stop();
  });
}

test('one that was left out returns, and stays out longer when it fails again at once', async () => {
  let returned = Promise.withResolvers<void>();
  const { replicas, turns, fail } = make(
    2,
    { ejection: { ...EJECTION, baseMs: 40 } },
    (event) => event === 'returned' && returned.resolve(),
  );
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const begun = performance.now();
    fail(0, 3);
    assert.equal(turns(), '1111');
    await returned.promise;
    times.push(performance.now() - begun);
    returned = Promise.withResolvers();
    assert.equal(turns().includes('0'), true);
  }
  // A timer never fires before its time.
  assert.ok(times[1]! > 79 && times[2]! > 119, times.join());
  replicas.stop();
});

test('checks decide after so many that agree, in either direction', () => {
  const { events, turns, check } = make(3, { healthCheck: CHECK });
  check(0, false, 2);
  check(0, true, 1);
  check(0, false, 2);
  assert.equal(turns(), '012012');
  check(0, false, 1);
  assert.equal(turns(), '121212');
  check(0, true, 1);
  check(0, false, 1);
  check(0, true, 1);
  assert.equal(turns(), '121212');
  check(0, true, 1);
  assert.equal(new Set(turns()).size, 3);
  assert.deepEqual(events, ['unhealthy', 'healthy']);
});

test('where fewer are well than the threshold says, all are called, until enough are', () => {
  const { events, turns, check } = make(4, { healthCheck: CHECK });
  check(0, false, 3);
  check(1, false, 3);
  assert.equal(new Set(turns()).size, 2);
  check(2, false, 3);
  assert.equal(new Set(turns()).size, 4);
  check(3, false, 3);
  assert.equal(new Set(turns()).size, 4);
  check(0, true, 2);
  check(1, true, 2);
  assert.deepEqual([...new Set(turns())].toSorted(), ['0', '1']);
  assert.deepEqual(
    events.filter((event) => event === 'panic'),
    ['panic'],
  );
});

test('without a threshold the last one that is well is called alone, and all when none is', () => {
  const { turns, check } = make(3, { healthCheck: { ...CHECK, panicPercent: 0 } });
  check(0, false, 3);
  check(1, false, 3);
  assert.equal(new Set(turns()).size, 1);
  check(2, false, 3);
  assert.equal(new Set(turns()).size, 3);
});

test('the last one that is well is not left out for failing, and one that is out and ill returns only well', () => {
  const { turns, fail, check } = make(2, { ejection: { ...EJECTION, maximumPercent: 100 }, healthCheck: CHECK });
  check(0, false, 3);
  fail(1, 50);
  assert.equal(turns(), '1111');
});

test('a view that takes over goes on where the one before stood, for the same addresses and what is declared', () => {
  const before = make(3, { ejection: EJECTION, healthCheck: CHECK });
  before.fail(0, 3);
  before.check(1, false, 3);
  const after = make(3, { ejection: EJECTION, healthCheck: { ...CHECK, panicPercent: 0 } });
  after.replicas.learnFrom(before.replicas);
  assert.equal(after.turns(), '222222');
  assert.deepEqual(after.events, []);
  after.check(1, true, 2);
  assert.equal(new Set(after.turns()).size, 2);
  const bare = make(3, {});
  bare.replicas.learnFrom(before.replicas);
  assert.equal(new Set(bare.turns()).size, 3);
  const other = make(1, { ejection: EJECTION });
  other.replicas.learnFrom(before.replicas);
  assert.equal(other.turns(), '00');
  for (const { replicas } of [before, after, other]) replicas.stop();
});

test('one that was taken over as left out returns when its time is over', async () => {
  const before = make(2, { ejection: { ...EJECTION, baseMs: 40 } });
  before.fail(0, 3);
  const returned = Promise.withResolvers<void>();
  const after = make(2, { ejection: EJECTION }, (event) => event === 'returned' && returned.resolve());
  after.replicas.learnFrom(before.replicas);
  before.replicas.stop();
  assert.equal(after.turns(), '1111');
  await returned.promise;
  assert.equal(new Set(after.turns()).size, 2);
});

test('calls are sent again within their budget, which says what was denied', () => {
  const { replicas, events } = make(2, { retries: { percent: 0, minimumPerSecond: 1 } });
  assert.equal(replicas.mayRepeat('unanswered'), true);
  assert.equal(replicas.mayRepeat('unseen'), false);
  assert.deepEqual(events, ['retry', 'retry-denied']);
  const { replicas: bare } = make(2, {});
  assert.deepEqual([bare.mayRepeat('unanswered'), bare.mayRepeat('unseen')], [false, true]);
});
