import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quickConfig, RolloutFleet, tally } from '../../../test/support/rollout-fleet.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { judgeWave, type Wave, type WaveVerdict } from './judge-wave.ts';
import type { RolloutConfig } from './rollout-config.ts';

const now = 100_000;

/** Judges the path from shop to orders, with the other two as control group. */
function judge(bend: (fleet: RolloutFleet) => unknown, change: Partial<Wave> = {}, config: Partial<RolloutConfig> = {}): WaveVerdict {
  const fleet = new RolloutFleet();
  bend(fleet);
  const facts = fleet.facts(now);
  const [moved, ...control] = facts.paths;
  return judgeWave(
    now,
    { moved: 'originate', since: now - 2_000, paths: [moved!], ...change },
    {
      config: { ...quickConfig, ...config },
      windows: facts.originating!,
      control: control.map(({ pathId }) => pathId),
      unready: [],
    },
  );
}

const fail = (fleet: RolloutFleet, count: number, reason: RefusalReason = 'unknown-authority'): unknown =>
  (fleet.trafficOf('shop', 'orders').failed = [tally(reason, count)]);

const refuse = (fleet: RolloutFleet, count: number, reason: RefusalReason): unknown =>
  (fleet.trafficOf('shop', 'orders').refused = [tally(reason, count)]);

test('a wave without failures goes on when it has been watched long enough', () => {
  assert.deepEqual(
    judge(() => undefined),
    { verdict: 'advance' },
  );
});

test('a wave is held until it has been watched long enough', () => {
  assert.deepEqual(
    judge(() => undefined, { since: now - 1_999 }),
    { verdict: 'hold', reasons: [{ code: 'settling', until: now + 1 }] },
  );
});

test('a rollback does not wait until the wave has been watched long enough', () => {
  assert.equal(judge((fleet) => fail(fleet, 50), { since: now }).verdict, 'roll-back');
});

test('a rollback names the path, the reason, how many of how many, and when it began', () => {
  const verdict = judge((fleet) => fail(fleet, 50));
  assert.deepEqual(verdict, {
    verdict: 'roll-back',
    reasons: [
      {
        code: 'caller-failures',
        pathId: 'path_shop-orders',
        endpointId: 'endpoint_orders',
        caller: 'spiffe://acme/prod/shop',
        count: 50,
        total: 150,
        refusal: 'unknown-authority',
        firstSeenAt: 1_000,
        lastSeenAt: 2_000,
      },
    ],
  });
});

for (const [what, bend] of [
  [
    'failures of its connections',
    (fleet) => (fleet.trafficOf('shop', 'orders').failed = [tally('tls-malformed', 3, { unit: 'connection' })]),
  ],
  ['failures that are no more than TLS alone could cause', (fleet) => fail(fleet, 50, 'timeout')],
  ['three failures and no success', (fleet) => fleet.traffic.set('path_shop-orders', fleet.makeTraffic({ failed: [tally('expired', 3)] }))],
  [
    'failures that were rarer before it moved',
    (fleet) => {
      fail(fleet, 50);
      fleet.before.set('path_shop-orders', fleet.makeTraffic({ plaintext: 90, failed: [tally('timeout', 10)] }));
    },
  ],
] as const satisfies readonly (readonly [string, (fleet: RolloutFleet) => unknown])[]) {
  test(`a wave is rolled back on ${what}`, () => assert.equal(judge(bend).verdict, 'roll-back'));
}

for (const [what, bend] of [
  ['two failures', (fleet) => fail(fleet, 2)],
  ['five failures of a hundred', (fleet) => fail(fleet, 5)],
  [
    'failures that are as frequent outside of it',
    (fleet) => {
      fail(fleet, 50);
      fleet.trafficOf('shop', 'payments').failed = [tally('timeout', 60)];
      fleet.trafficOf('orders', 'payments').failed = [tally('timeout', 60)];
    },
  ],
  [
    'failures that were as frequent before it moved',
    (fleet) => {
      fail(fleet, 50);
      fleet.before.set('path_shop-orders', fleet.makeTraffic({ plaintext: 100, failed: [tally('timeout', 50)] }));
    },
  ],
  ['failures of a suspended caller', (fleet) => (fail(fleet, 50), (fleet.path('shop', 'orders').callerSuspended = true))],
  ['calls to a revoked server', (fleet) => fail(fleet, 50, 'revoked')],
  ['failures of other paths', (fleet) => (fleet.trafficOf('shop', 'payments').failed = [tally('expired', 90)])],
  ['any number of anonymous refusals', (fleet) => fleet.foreign.get('endpoint_orders')!.anonymousRefused.push(tally('plaintext', 1e9))],
  ['any number of anonymous calls', (fleet) => fleet.foreign.get('endpoint_orders')!.anonymous.push(tally('plaintext', 1e9))],
  [
    'refusals of strangers',
    (fleet) => fleet.foreign.get('endpoint_orders')!.strangers.push({ ...tally('wrong-identity', 1e9), caller: 'x' }),
  ],
  ['refusals that a receiver reports before enforcement', (fleet) => (fleet.trafficOf('shop', 'orders').refused = [tally('expired', 90)])],
] as const satisfies readonly (readonly [string, (fleet: RolloutFleet) => unknown])[]) {
  test(`a wave is not rolled back on ${what}`, () => assert.notEqual(judge(bend).verdict, 'roll-back'));
}

test('failures that do not stand out hold the wave', () => {
  const verdict = judge((fleet) => {
    fail(fleet, 50);
    fleet.trafficOf('shop', 'payments').failed = [tally('timeout', 900)];
  });
  assert.ok(verdict.verdict === 'hold' && verdict.reasons[0]!.code === 'failures-everywhere');
});

test('one caller that reports failures without end excuses no other', () => {
  const fleet = new RolloutFleet();
  fail(fleet, 50);
  fleet.trafficOf('shop', 'payments').failed = [tally('timeout', 1e14)];
  fleet.traffic.set('path_quiet', fleet.makeTraffic({ mtls: 100 }));
  const { paths, originating } = fleet.facts(now);
  const [moved, ...others] = paths;
  const verdict = judgeWave(
    now,
    { moved: 'originate', since: now - 2_000, paths: [moved!] },
    { config: quickConfig, windows: originating!, control: [...others.map(({ pathId }) => pathId), 'path_quiet'], unready: [] },
  );
  assert.equal(verdict.verdict, 'roll-back');
});

test('one failure and no success hold the wave: too few to roll back, and not good', () => {
  const verdict = judge((fleet) => fleet.traffic.set('path_shop-orders', fleet.makeTraffic({ failed: [tally('expired', 1)] })));
  assert.ok(verdict.verdict === 'hold' && verdict.reasons[0]!.code === 'caller-failures');
});

test('the limits are those of the rollout', () => {
  assert.equal(judge((fleet) => fail(fleet, 1), {}, { minFailures: 1, maxFailureRate: 0 }).verdict, 'roll-back');
  assert.notEqual(judge((fleet) => fail(fleet, 1e6), {}, { maxFailureRate: 1 }).verdict, 'roll-back');
});

test('after enforcement, refusals of a good caller roll back', () => {
  const verdict = judge((fleet) => refuse(fleet, 20, 'wrong-identity'), { moved: 'enforce' });
  assert.ok(verdict.verdict === 'roll-back' && verdict.reasons[0]!.code === 'good-caller-refused');
});

for (const reason of ['revoked', 'suspended', 'request-malformed', 'host-mismatch', 'limit-exceeded'] as const) {
  test(`after enforcement, refusals of a good caller for ${reason} do not roll back`, () => {
    assert.notEqual(judge((fleet) => refuse(fleet, 1e6, reason), { moved: 'enforce' }).verdict, 'roll-back');
  });
}

test('a path that switched long ago is not judged by what failed before it switched', () => {
  assert.notEqual(judge((fleet) => fail(fleet, 50), { moved: 'settled', since: 1_001 }).verdict, 'roll-back');
  assert.equal(judge((fleet) => fail(fleet, 50), { moved: 'settled', since: 1_000 }).verdict, 'roll-back');
});
