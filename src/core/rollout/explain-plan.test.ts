import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RolloutFleet, tally } from '../../../test/support/rollout-fleet.ts';
import { explainPlan } from './explain-plan.ts';
import { describeReason, reasonKey } from './reason.ts';

function explain(fleet: RolloutFleet) {
  const plan = explainPlan(50_000, fleet.initialState(), fleet.facts(50_000));
  return {
    path: plan.paths.find(({ pathId }) => pathId === 'path_shop-orders')!,
    endpoint: plan.endpoints.find(({ endpointId }) => endpointId === 'endpoint_orders')!,
  };
}

test('the plan names a declared caller that would be refused, why, how often and when', () => {
  const fleet = new RolloutFleet();
  fleet.trafficOf('shop', 'orders').wouldRefuse = [tally('expired', 7)];
  assert.deepEqual(explain(fleet).path.wouldRefuse, [
    { caller: 'spiffe://acme/prod/shop', channel: 'mtls', reason: 'expired', count: 7, lastSeenAt: 2_000, standing: 'holds' },
  ]);
});

test('the plan names a proved identity that is no caller', () => {
  const fleet = new RolloutFleet();
  fleet.foreign.get('endpoint_orders')!.strangers.push({ ...tally('wrong-identity', 3), caller: 'spiffe://acme/prod/eve' });
  const [named] = explain(fleet).endpoint.wouldRefuse;
  assert.deepEqual([named!.caller, named!.reason, named!.count, named!.standing], ['spiffe://acme/prod/eve', 'wrong-identity', 3, 'holds']);
});

test('the plan tells who still speaks plaintext, and what is open', () => {
  const fleet = new RolloutFleet();
  fleet.traffic.set('path_shop-orders', fleet.makeTraffic({ mtls: 5, plaintext: 12, openPlaintext: 2 }));
  assert.deepEqual(explain(fleet).path.plaintext, { count: 12, open: 2, lastSeenAt: 50_000 });
});

test('the plan tells anonymous traffic that a declared caller may have sent from that which none did', () => {
  const fleet = new RolloutFleet();
  fleet.foreign.get('endpoint_orders')!.anonymous.push(tally('plaintext', 4), tally('plaintext', 4, { unit: 'connection' }));
  assert.deepEqual(explain(fleet).endpoint.anonymous, { count: 4, lastSeenAt: 2_000, attributable: false, decided: 'hold' });
  fleet.trafficOf('shop', 'orders').plaintext = 1;
  assert.equal(explain(fleet).endpoint.anonymous.attributable, true);
});

test('the plan names what comes under an exception, and counts it as nobody who would be refused', () => {
  const fleet = new RolloutFleet();
  const [kubelet, over] = [
    { name: 'kubelet', kind: 'probe', owner: 'platform', until: 60_000 },
    { name: 'over', kind: 'scraper', owner: 'platform', until: 50_000 },
  ] as const;
  fleet.endpoint('orders').exceptions = [kubelet, over];
  const { excepted } = fleet.foreign.get('endpoint_orders')!;
  excepted.push({ ...tally('plaintext', 4), exception: 'kubelet' }, { ...tally('no-certificate', 3), exception: 'kubelet' });
  const { endpoint } = explain(fleet);
  assert.deepEqual(endpoint.excepted, [{ ...kubelet, count: 7, lastSeenAt: 2_000 }]);
  assert.deepEqual([endpoint.anonymous.count, endpoint.wouldRefuse], [0, []]);
});

test('the plan says what was refused on purpose', () => {
  const fleet = new RolloutFleet();
  fleet.trafficOf('shop', 'orders').wouldRefuse = [tally('suspended', 2)];
  assert.equal(explain(fleet).path.wouldRefuse[0]!.standing, 'purpose');
});

test('the plan names the paths that hold an endpoint back', () => {
  assert.deepEqual(explain(new RolloutFleet()).endpoint.heldBackBy, ['path_shop-orders']);
});

test('a hold is the same hold whatever it counts', () => {
  const reason = { code: 'stranger', endpointId: 'endpoint_1', caller: 'x', count: 1, lastSeenAt: 5 } as const;
  assert.equal(reasonKey(reason), reasonKey({ ...reason, count: 99, lastSeenAt: 7 }));
  assert.notEqual(reasonKey(reason), reasonKey({ ...reason, caller: 'y' }));
});

test('a reason reads as one sentence', () => {
  assert.equal(
    describeReason({ code: 'plaintext-seen', pathId: 'path_1', count: 3, lastSeenAt: 0 }),
    "the caller's proxies spoke plaintext in the window, 3, last seen 1970-01-01T00:00:00.000Z, path_1",
  );
});
