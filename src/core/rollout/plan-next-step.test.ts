import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RolloutFleet, tally } from '../../../test/support/rollout-fleet.ts';
import type { EntityId } from '../ids/entity-id.ts';
import { drillReasons, type DrillKind } from '../findings/drill-kind.ts';
import type { Instant } from '../time/instant.ts';
import { applyMove, type PathStage, type PathState } from './path-state.ts';
import { planNextStep } from './plan-next-step.ts';
import type { ReasonCode } from './reason.ts';
import type { RolloutState } from './rollout-facts.ts';

/** A rollout that a test drives: applies what the planner says, as the store would. */
class Drive {
  readonly fleet = new RolloutFleet();
  state: RolloutState = this.fleet.initialState();
  now: Instant = 1_000_000;
  #steps = 0;

  plan() {
    return planNextStep(this.now, this.state, this.fleet.facts(this.now));
  }

  /** Applies one step and returns its kind with its paths, or the codes that hold. */
  step(): string {
    const next = this.plan();
    if (next.kind === 'done') return 'done';
    if (next.kind === 'hold') return `hold ${[...new Set(next.reasons.map(({ code }) => code))].toSorted().join(' ')}`;
    const { step } = next;
    const paths = new Map(this.state.paths.map((path) => [path.pathId, path]));
    for (const move of step.moves) paths.set(move.pathId, applyMove(this.now, paths.get(move.pathId)!, move));
    this.state = { ...this.state, paths: [...paths.values()], lastStepId: `step_${++this.#steps}` };
    return `${step.kind} ${step.moves
      .map(({ pathId }) => pathId.slice('path_'.length))
      .toSorted()
      .join(' ')}`;
  }

  /** Steps, and lets time pass while only time holds, until the text appears. */
  until(wanted: string): this {
    const seen: string[] = [];
    for (let turn = 0; turn < 100; turn++) {
      const said = this.step();
      if (said.startsWith(wanted)) return this;
      seen.push(said);
      if (said.startsWith('hold')) this.now += 1_000;
      if (/drills-pending/.test(said)) this.fleet.drillAll(this.now);
    }
    return assert.fail(`never came to ${wanted}: ${seen.join('; ')}`);
  }

  set(change: Partial<PathState>, ...ids: string[]): this {
    const paths = this.state.paths.map((path) => (ids.includes(path.pathId.slice(5)) ? { ...path, ...change } : path));
    this.state = { ...this.state, paths };
    return this;
  }

  stage(id: string): PathStage {
    return this.state.paths.find(({ pathId }) => pathId === `path_${id}`)!.stage;
  }

  holds(): ReasonCode[] {
    const next = this.plan();
    assert.equal(next.kind, 'hold');
    return next.kind === 'hold' ? next.reasons.map(({ code }) => code) : [];
  }
}

const all = ['shop-orders', 'shop-payments', 'orders-payments'];

test('a fleet goes from observe to proven: canary, then the rest, receivers first, drained and drilled', () => {
  const drive = new Drive();
  assert.equal(drive.step(), 'enrol orders-payments shop-orders shop-payments');
  assert.equal(drive.step(), 'permit shop-orders');
  assert.equal(drive.step(), 'originate shop-orders');
  assert.equal(drive.step(), 'hold path-not-ready settling');
  drive.now += 2_000;
  assert.equal(drive.step(), 'settle shop-orders');
  assert.equal(drive.step(), 'permit orders-payments shop-payments');
  assert.equal(drive.step(), 'originate orders-payments shop-payments');
  drive.until('enforce shop-orders').until('drained shop-orders').until('prove shop-orders');
  drive.until('enforce orders-payments shop-payments').until('prove orders-payments shop-payments');
  assert.equal(drive.step(), 'done');
});

test('a step names its parent', () => {
  const drive = new Drive();
  drive.step();
  const next = drive.plan();
  assert.equal(next.kind === 'step' && next.step.parent, 'step_1');
});

test('a paused rollout does not advance', () => {
  const drive = new Drive();
  drive.step();
  drive.state = { ...drive.state, status: 'paused' };
  assert.ok(drive.holds().includes('paused'));
});

test('a paused rollout still rolls back', () => {
  const drive = new Drive().until('originate shop-orders');
  drive.state = { ...drive.state, status: 'paused' };
  drive.fleet.trafficOf('shop', 'orders').failed = [tally('unknown-authority', 50)];
  assert.equal(drive.step(), 'roll-back shop-orders');
});

for (const [what, code, bend] of [
  ['no receiver is there', 'endpoint-without-proxy', (drive: Drive) => (drive.fleet.endpoint('orders').receivers = [])],
  ['the caller has no proxy', 'caller-without-proxy', (drive: Drive) => (drive.fleet.path('shop', 'orders').callerProxies = [])],
  [
    'a receiver has not acknowledged',
    'not-acknowledged',
    (drive: Drive) => (drive.fleet.proxies.get('orders')!.delivery = { kind: 'pending' }),
  ],
  [
    'a receiver refused its settings',
    'settings-refused',
    (drive: Drive) => (drive.fleet.proxies.get('orders')!.delivery = { kind: 'refused', detail: 'no port' }),
  ],
  ['a receiver is silent', 'proxy-silent', (drive: Drive) => silence(drive, 'orders')],
  ['a receiver never reported', 'proxy-silent', (drive: Drive) => silence(drive, 'orders', null)],
  ['a caller is silent', 'proxy-silent', (drive: Drive) => silence(drive, 'shop')],
] as const satisfies readonly (readonly [string, ReasonCode, (drive: Drive) => unknown])[]) {
  test(`callers do not switch while ${what}`, () => {
    const drive = new Drive().until('permit shop-orders');
    bend(drive);
    // The other paths may go on without one that cannot move at all; this one does not.
    for (let turn = 0; turn < 10; turn++) drive.step();
    assert.equal(drive.stage('shop-orders'), 'permissive');
    const next = drive.plan();
    assert.ok(next.kind === 'hold' && next.reasons.some((reason) => reason.code === code));
  });
}

test('no wave starts while another one is judged, and none after a rollback until a person says retry', () => {
  const drive = new Drive().until('originate shop-orders');
  drive.fleet.trafficOf('shop', 'orders').failed = [tally('unknown-authority', 50)];
  assert.equal(drive.step(), 'roll-back shop-orders');
  drive.fleet.trafficOf('shop', 'orders').failed = [];
  for (let turn = 0; turn < 50; turn++) {
    drive.now += 1_000;
    assert.equal(drive.step(), 'hold path-rolled-back');
  }
  drive.set({ setback: null }, 'shop-orders');
  assert.equal(drive.step(), 'originate shop-orders');
});

/** Everything has switched and settled, and the window is over: the canary's gate is green. */
function atGate(): Drive {
  const drive = new Drive();
  drive.step();
  drive.set({ stage: 'originate', since: drive.now, settledAt: drive.now }, ...all);
  drive.now += 13_000;
  return drive;
}

test('an endpoint whose gate is green is enforced, the canary alone', () => {
  assert.equal(atGate().step(), 'enforce shop-orders');
});

const holdGate: readonly (readonly [string, ReasonCode, (fleet: RolloutFleet, drive: Drive) => unknown])[] = [
  ['the window is not over', 'soaking', (_, drive) => (drive.now -= 1)],
  ['the caller spoke plaintext', 'plaintext-seen', (fleet) => (fleet.trafficOf('shop', 'orders').plaintext = 1)],
  ['a plaintext connection is open', 'plaintext-open', (fleet) => (fleet.trafficOf('shop', 'orders').openPlaintext = 1)],
  ['too few calls were seen', 'too-few-calls', (fleet) => (fleet.trafficOf('shop', 'orders').mtls = 9)],
  ['no call was seen', 'too-few-calls', (fleet) => fleet.traffic.set('path_shop-orders', fleet.makeTraffic({}))],
  [
    'the receivers would refuse the caller',
    'would-refuse',
    (fleet) => (fleet.trafficOf('shop', 'orders').wouldRefuse = [tally('expired', 1)]),
  ],
  ['the receivers verified fewer calls than were sent', 'calls-unverified', (fleet) => (fleet.trafficOf('shop', 'orders').verified = 97)],
  ['the receivers verified none', 'calls-unverified', (fleet) => (fleet.trafficOf('shop', 'orders').verified = 0)],
  ['calls fail', 'caller-failures', (fleet) => (fleet.trafficOf('shop', 'orders').failed = [tally('timeout', 20)])],
  [
    'a stranger calls',
    'stranger',
    (fleet) => fleet.foreign.get('endpoint_orders')!.strangers.push({ ...tally('wrong-identity', 1), caller: 'spiffe://acme/prod/eve' }),
  ],
  [
    'nobody knows who calls in plaintext',
    'unattributed-anonymous',
    (fleet) => fleet.foreign.get('endpoint_orders')!.anonymous.push(tally('plaintext', 1)),
  ],
  [
    'what comes in plaintext is under an exception of another name',
    'unattributed-anonymous',
    (fleet, drive) => exceptKubelet(fleet, { until: drive.now + 1, seenAs: 'prometheus' }),
  ],
  [
    'the exception of what comes in plaintext is over',
    'unattributed-anonymous',
    (fleet, drive) => exceptKubelet(fleet, { until: drive.now, seenAs: 'kubelet' }),
  ],
  ['an anonymous connection is open', 'unattributed-anonymous', (fleet) => (fleet.foreign.get('endpoint_orders')!.openAnonymous = 1)],
  ['a receiver is silent', 'proxy-silent', (_, drive) => silence(drive, 'orders')],
  ['a caller is silent', 'proxy-silent', (_, drive) => silence(drive, 'shop')],
  ['a caller has not acknowledged', 'not-acknowledged', (fleet) => (fleet.proxies.get('shop')!.delivery = { kind: 'pending' })],
  ['a receiver has not acknowledged', 'not-acknowledged', (fleet) => (fleet.proxies.get('orders')!.delivery = { kind: 'pending' })],
  [
    'an exception is open',
    'exception-open',
    (fleet, drive) => (fleet.path('shop', 'orders').exception = { owner: 'mia', until: drive.now + 1 }),
  ],
  ['the caller has no proxy', 'caller-without-proxy', (fleet) => (fleet.path('shop', 'orders').callerProxies = [])],
];

for (const [what, code, bend] of holdGate) {
  test(`an endpoint is not enforced while ${what}`, () => {
    const drive = atGate();
    bend(drive.fleet, drive);
    const next = drive.plan();
    const reasons = next.kind === 'hold' ? next.reasons : [];
    const enforced = next.kind === 'step' && next.step.kind === 'enforce' ? next.step.moves.map(({ pathId }) => pathId) : [];
    assert.ok(!enforced.includes('path_shop-orders'), JSON.stringify(next));
    if (next.kind === 'hold')
      assert.ok(
        reasons.some((reason) => reason.code === code),
        JSON.stringify(reasons),
      );
  });
}

test('what comes under a current exception holds nothing', () => {
  const drive = atGate();
  exceptKubelet(drive.fleet, { until: drive.now + 60_000, seenAs: 'kubelet' });
  const next = drive.plan();
  assert.equal(next.kind === 'step' && next.step.kind, 'enforce', JSON.stringify(next));
});

function exceptKubelet(fleet: RolloutFleet, { until, seenAs }: { readonly until: number; readonly seenAs: string }): void {
  fleet.endpoint('orders').exceptions = [{ name: 'kubelet', kind: 'probe', owner: 'platform', until }];
  fleet.foreign.get('endpoint_orders')!.excepted.push({ ...tally('plaintext', 9), exception: seenAs });
}

test('one path that is not ready holds the whole endpoint, and is named', () => {
  const drive = atGate().set({ stage: 'proven', latchedAt: 1 }, 'shop-orders');
  drive.fleet.trafficOf('orders', 'payments').plaintext = 3;
  const next = drive.plan();
  assert.ok(next.kind === 'hold');
  assert.deepEqual(
    next.reasons.map(({ code, pathId, count }) => [code, pathId, count]),
    [['plaintext-seen', 'path_orders-payments', 3]],
  );
});

test('anonymous traffic that a declared caller may have sent holds, whatever is decided on the rest', () => {
  const drive = atGate();
  drive.state = { ...drive.state, config: { ...drive.state.config, unattributed: 'refuse' } };
  drive.fleet.foreign.get('endpoint_orders')!.anonymous.push(tally('plaintext', 5));
  assert.equal(drive.plan().kind, 'step');
  drive.fleet.trafficOf('shop', 'orders').openPlaintext = 1;
  assert.ok(!enforces(drive, 'path_shop-orders'));
});

test('a stranger that a person marked as unwanted does not hold, at that endpoint only', () => {
  const drive = atGate();
  const caller = 'spiffe://acme/prod/eve';
  for (const id of ['endpoint_orders', 'endpoint_payments'] as const) {
    drive.fleet.foreign.get(id)!.strangers.push({ ...tally('wrong-identity', 9), caller });
  }
  drive.state = {
    ...drive.state,
    config: { ...drive.state.config, unwanted: [{ endpointId: 'endpoint_orders', caller, reason: 'test' }] },
  };
  assert.equal(drive.step(), 'enforce shop-orders');
  assert.ok(!enforces(drive, 'path_shop-payments'));
});

test('what was revoked or suspended is refused on purpose and holds nothing', () => {
  const drive = atGate();
  drive.fleet.trafficOf('shop', 'orders').wouldRefuse = [tally('revoked', 4), tally('suspended', 4)];
  assert.equal(drive.step(), 'enforce shop-orders');
});

test('a suspended caller that is cut off does not hold its endpoint', () => {
  const drive = atGate();
  drive.fleet.path('shop', 'orders').callerSuspended = true;
  silence(drive, 'shop');
  drive.fleet.traffic.set('path_shop-orders', drive.fleet.makeTraffic({}));
  assert.equal(drive.step(), 'enforce shop-orders');
});

test('an exception that is over holds nothing', () => {
  const drive = atGate();
  drive.fleet.path('shop', 'orders').exception = { owner: 'mia', until: drive.now };
  assert.equal(drive.step(), 'enforce shop-orders');
});

function enforced(): Drive {
  const drive = atGate();
  assert.equal(drive.step(), 'enforce shop-orders');
  return drive;
}

for (const [what, code, bend] of [
  ['it has just been enforced', 'settling', () => undefined],
  ['a receiver has not acknowledged', 'not-acknowledged', (drive) => (drive.fleet.proxies.get('orders')!.delivery = { kind: 'pending' })],
  ['an anonymous connection is open', 'draining', (drive) => (drive.fleet.foreign.get('endpoint_orders')!.openAnonymous = 1)],
  ['a plaintext connection of a caller is open', 'draining', (drive) => (drive.fleet.trafficOf('shop', 'orders').openPlaintext = 1)],
  [
    'one is open past the deadline',
    'drain-overdue',
    (drive) => {
      drive.now += 10_000;
      drive.fleet.foreign.get('endpoint_orders')!.openAnonymous = 1;
    },
  ],
] as const satisfies readonly (readonly [string, ReasonCode, (drive: Drive) => unknown])[]) {
  test(`an endpoint is not drained while ${what}`, () => {
    const drive = enforced();
    bend(drive);
    assert.ok(drive.holds().includes(code));
  });
}

test('an endpoint is proven by drills that were ordered after the drain, all of them', () => {
  const drive = enforced();
  drive.fleet.drillAll(drive.now);
  drive.until('drained shop-orders');
  assert.deepEqual(drive.holds(), ['drills-pending']);
  drive.fleet.drillAll(drive.now);
  assert.equal(drive.step(), 'prove shop-orders');
});

for (const kind of [...(Object.keys(drillReasons) as DrillKind[]), 'positive' as const]) {
  test(`an endpoint is not proven while the drill ${kind} has failed or waits`, () => {
    const drive = enforced().until('drained shop-orders');
    drive.fleet.drillAll(drive.now, { [kind]: { kind: 'failed', because: 'answered' } });
    assert.deepEqual(drive.holds(), ['drill-failed']);
    drive.fleet.drillAll(drive.now, { [kind]: { kind: 'waiting' } });
    assert.deepEqual(drive.holds(), ['drills-pending']);
  });
}

test('an enforced endpoint whose callers fail goes back to originate, and is not enforced again by itself', () => {
  const drive = enforced();
  drive.fleet.trafficOf('shop', 'orders').failed = [tally('tls-malformed', 30)];
  assert.equal(drive.step(), 'roll-back shop-orders');
  assert.equal(drive.stage('shop-orders'), 'originate');
  drive.fleet.trafficOf('shop', 'orders').failed = [];
  drive.now += 60_000;
  assert.ok(!enforces(drive, 'path_shop-orders'));
});

test('an enforced endpoint that refuses a good caller goes back', () => {
  const drive = enforced();
  drive.fleet.trafficOf('shop', 'orders').refused = [tally('wrong-identity', 30)];
  assert.equal(drive.step(), 'roll-back shop-orders');
});

for (const [what, bend] of [
  ['refuses anonymous peers', (fleet) => fleet.foreign.get('endpoint_orders')!.anonymousRefused.push(tally('plaintext', 1e6))],
  ['refuses strangers', (fleet) => fleet.foreign.get('endpoint_orders')!.strangers.push({ ...tally('wrong-identity', 1e6), caller: 'x' })],
  ['refuses a revoked certificate of a good caller', (fleet) => (fleet.trafficOf('shop', 'orders').refused = [tally('revoked', 1e6)])],
  [
    'refuses malformed requests of a good caller',
    (fleet) => (fleet.trafficOf('shop', 'orders').refused = [tally('request-malformed', 1e6)]),
  ],
] as const satisfies readonly (readonly [string, (fleet: RolloutFleet) => unknown])[]) {
  test(`an enforced endpoint that ${what} does not go back`, () => {
    const drive = enforced();
    bend(drive.fleet);
    for (let turn = 0; turn < 30; turn++) {
      assert.doesNotMatch(drive.step(), /^roll-back/);
      drive.now += 1_000;
    }
    assert.notEqual(drive.stage('shop-orders'), 'originate');
  });
}

test('a proven path is never rolled back, whatever its callers report', () => {
  const drive = enforced().until('prove shop-orders');
  drive.fleet.trafficOf('shop', 'orders').failed = [tally('unknown-authority', 1e6)];
  drive.fleet.trafficOf('shop', 'orders').refused = [tally('wrong-identity', 1e6)];
  for (let turn = 0; turn < 30; turn++) {
    drive.step();
    drive.now += 1_000;
    assert.equal(drive.stage('shop-orders'), 'proven');
  }
});

test('a path that comes to an enforced endpoint is enforced from its first call', () => {
  const drive = enforced().until('prove shop-orders');
  const path = drive.fleet.addPath('billing', 'orders');
  drive.state = {
    ...drive.state,
    paths: [
      ...drive.state.paths,
      {
        ...drive.state.paths[0]!,
        pathId: path.pathId,
        endpointId: path.endpointId,
        caller: path.caller,
        wave: null,
        stage: 'observe',
        latchedAt: null,
      },
    ],
  };
  assert.equal(drive.step(), 'enrol billing-orders');
  assert.equal(drive.stage('billing-orders'), 'enforce');
});

test('a weakened path stays weakened until its date, then returns in steps, and is proven again', () => {
  const drive = enforced().until('prove shop-orders');
  const until = drive.now + 5_000;
  drive.set({ stage: 'permissive', since: drive.now, weakening: { to: 'permissive', by: 'mia', reason: 'vendor', until } }, 'shop-orders');
  while (drive.now < until) {
    drive.step();
    assert.equal(drive.stage('shop-orders'), 'permissive');
    drive.now += 1_000;
  }
  drive.until('restore shop-orders');
  assert.equal(drive.stage('shop-orders'), 'originate');
  drive.until('restore shop-orders');
  assert.equal(drive.stage('shop-orders'), 'enforce');
  drive.until('prove shop-orders');
});

test('a weakening ends on its date even if callers are silent and the rollout is paused', () => {
  const drive = enforced().until('prove shop-orders');
  const until = drive.now + 5_000;
  drive.set({ stage: 'permissive', since: drive.now, weakening: { to: 'permissive', by: 'mia', reason: 'vendor', until } }, 'shop-orders');
  drive.state = { ...drive.state, status: 'paused' };
  drive.now = until;
  silence(drive, 'shop');
  drive.step();
  for (let turn = 0; turn < 10; turn++) {
    drive.now += 1_000;
    drive.step();
  }
  assert.equal(drive.stage('shop-orders'), 'enforce');
});

test('a settled path that fails later goes back alone, and only for failures of TLS', () => {
  const drive = atGate();
  drive.set({ settledAt: drive.now, since: drive.now }, ...all);
  drive.fleet.trafficOf('shop', 'payments').failed = [tally('upstream-unreachable', 90, { firstSeenAt: drive.now })];
  assert.doesNotMatch(drive.step(), /^roll-back/);
  drive.fleet.trafficOf('shop', 'payments').failed = [tally('expired', 90, { firstSeenAt: drive.now })];
  assert.equal(drive.step(), 'roll-back shop-payments');
});

test('a declared caller that a person marked as unwanted joins no wave, holds nothing, and is enforced along with the endpoint', () => {
  const drive = new Drive();
  const path = drive.fleet.path('shop', 'payments');
  const unwanted = [{ endpointId: path.endpointId, caller: path.caller, reason: 'retired' }];
  drive.state = { ...drive.state, config: { ...drive.state.config, unwanted } };
  drive.fleet.traffic.set(
    path.pathId,
    drive.fleet.makeTraffic({ plaintext: 50, openPlaintext: 2, wouldRefuse: [tally('wrong-identity', 9)] }),
  );
  path.callerProxies = [];
  drive.until('originate orders-payments').until('enforce orders-payments shop-payments').until('prove orders-payments shop-payments');
});

test('a target of permissive brings everybody to mutual TLS and enforces nothing', () => {
  const drive = new Drive();
  drive.state = { ...drive.state, target: 'permissive' };
  drive.until('done');
  assert.deepEqual(
    all.map((id) => drive.stage(id)),
    ['originate', 'originate', 'originate'],
  );
});

test('a target of observe moves nothing', () => {
  const drive = new Drive();
  drive.state = { ...drive.state, target: 'observe' };
  drive.until('done');
  assert.deepEqual(
    all.map((id) => drive.stage(id)),
    ['observe', 'observe', 'observe'],
  );
});

test('a target that was lowered loosens nothing that is enforced', () => {
  const drive = enforced().until('prove shop-orders');
  drive.state = { ...drive.state, target: 'observe' };
  drive.until('done');
  assert.equal(drive.stage('shop-orders'), 'proven');
});

test('a path of one-way TLS is never moved', () => {
  const drive = new Drive();
  drive.fleet.path('shop', 'orders').protection = 'one-way';
  for (let turn = 0; turn < 200; turn++) {
    drive.step();
    drive.now += 1_000;
    drive.fleet.drillAll(drive.now);
    assert.equal(drive.stage('shop-orders'), 'observe');
  }
  assert.equal(drive.stage('shop-payments'), 'proven');
});

test('a caller of another trust domain is waited for at the receivers alone', () => {
  const drive = new Drive();
  const path = drive.fleet.path('shop', 'orders');
  path.callerIs = 'foreign';
  path.callerProxies = [];
  drive.fleet.traffic.set(path.pathId, drive.fleet.makeTraffic({ verified: 100 }));
  drive.until('done');
  assert.equal(drive.stage('shop-orders'), 'proven');
});

test('an endpoint is not enforced before the receivers have verified enough of a caller of another trust domain', () => {
  const drive = new Drive();
  const path = drive.fleet.path('shop', 'orders');
  path.callerIs = 'foreign';
  path.callerProxies = [];
  drive.fleet.traffic.set(path.pathId, drive.fleet.makeTraffic({ mtls: 0, verified: 9 }));
  for (let turn = 0; turn < 200; turn++) {
    drive.step();
    drive.now += 1_000;
    drive.fleet.drillAll(drive.now);
    assert.notEqual(drive.stage('shop-orders'), 'enforce');
  }
  assert.equal(drive.stage('shop-orders'), 'originate');
});

function enforces(drive: Drive, pathId: EntityId<'path'>): boolean {
  const next = drive.plan();
  return next.kind === 'step' && next.step.kind === 'enforce' && next.step.moves.some((move) => move.pathId === pathId);
}

function silence(drive: Drive, service: string, lastReportAt: Instant | null = drive.now - 60_000): void {
  drive.fleet.silent.add(service);
  drive.fleet.proxies.get(service)!.lastReportAt = lastReportAt;
}
