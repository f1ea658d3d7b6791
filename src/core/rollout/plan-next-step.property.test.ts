import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { quickConfig, RolloutFleet, tally } from '../../../test/support/rollout-fleet.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import type { Instant } from '../time/instant.ts';
import { applyMove, isEarlierStage, type PathMove } from './path-state.ts';
import { planNextStep } from './plan-next-step.ts';
import type { NextStep } from './plan-next-step.ts';
import type { RolloutFacts, RolloutState } from './rollout-facts.ts';

/** One thing that happens to the fleet. */
type Event =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'plaintext'; readonly path: number; readonly count: number; readonly open: number }
  | { readonly kind: 'calls'; readonly path: number; readonly sent: number; readonly verified: number }
  | { readonly kind: 'fail'; readonly path: number; readonly count: number; readonly reason: RefusalReason }
  | { readonly kind: 'refuse'; readonly path: number; readonly count: number; readonly reason: RefusalReason; readonly would: boolean }
  | { readonly kind: 'anonymous'; readonly endpoint: number; readonly count: number; readonly open: number; readonly refused: boolean }
  | { readonly kind: 'stranger'; readonly endpoint: number; readonly count: number }
  | { readonly kind: 'proxy'; readonly proxy: number; readonly delivery: 'acknowledged' | 'pending' | 'refused'; readonly silent: boolean }
  | { readonly kind: 'suspend'; readonly path: number; readonly suspended: boolean }
  | { readonly kind: 'drills'; readonly agoMs: number; readonly failed: boolean }
  | { readonly kind: 'heal' }
  | { readonly kind: 'retry' };

const reason = fc.constantFrom<RefusalReason>('plaintext', 'expired', 'unknown-authority', 'wrong-identity', 'revoked', 'timeout');
const path = fc.nat(2);
const endpoint = fc.nat(1);
const count = fc.constantFrom(0, 1, 2, 5, 40, 1_000_000);
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(500, 2_000, 14_000) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('heal' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('drills' as const), agoMs: fc.constantFrom(0, 0, 5_000), failed: fc.constant(false) }),
  },
  fc.record({ kind: fc.constant('drills' as const), agoMs: fc.constant(0), failed: fc.boolean() }),
  fc.record({ kind: fc.constant('retry' as const) }),
  fc.record({ kind: fc.constant('plaintext' as const), path, count, open: count }),
  fc.record({ kind: fc.constant('calls' as const), path, sent: count, verified: count }),
  fc.record({ kind: fc.constant('fail' as const), path, count, reason }),
  fc.record({ kind: fc.constant('refuse' as const), path, count, reason, would: fc.boolean() }),
  fc.record({ kind: fc.constant('anonymous' as const), endpoint, count, open: count, refused: fc.boolean() }),
  fc.record({ kind: fc.constant('stranger' as const), endpoint, count }),
  fc.record({
    kind: fc.constant('proxy' as const),
    proxy: fc.nat(2),
    delivery: fc.constantFrom('acknowledged' as const, 'pending' as const, 'refused' as const),
    silent: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('suspend' as const), path, suspended: fc.boolean() }),
);

function happen(fleet: RolloutFleet, now: Instant, what: Event): Instant {
  const traffic = 'path' in what ? fleet.traffic.get(fleet.paths[what.path]!.pathId)! : null;
  const foreign = 'endpoint' in what ? fleet.foreign.get(fleet.endpoints[what.endpoint]!.endpointId)! : null;
  switch (what.kind) {
    case 'wait':
      return now + what.ms;
    case 'plaintext':
      Object.assign(traffic!, { plaintext: what.count, openPlaintext: what.open });
      return now;
    case 'calls':
      Object.assign(traffic!, { mtls: what.sent, verified: what.verified });
      return now;
    case 'fail':
      traffic!.failed = what.count === 0 ? [] : [tally(what.reason, what.count, { firstSeenAt: now })];
      return now;
    case 'refuse':
      traffic![what.would ? 'wouldRefuse' : 'refused'] = what.count === 0 ? [] : [tally(what.reason, what.count)];
      return now;
    case 'anonymous':
      foreign![what.refused ? 'anonymousRefused' : 'anonymous'] = what.count === 0 ? [] : [tally('plaintext', what.count)];
      foreign!.openAnonymous = what.open;
      return now;
    case 'stranger':
      foreign!.strangers = what.count === 0 ? [] : [{ ...tally('wrong-identity', what.count), caller: 'spiffe://acme/prod/eve' }];
      return now;
    case 'proxy': {
      const [service, proxy] = [...fleet.proxies][what.proxy]!;
      proxy.delivery = what.delivery === 'refused' ? { kind: 'refused', detail: '' } : { kind: what.delivery };
      if (what.silent) fleet.silent.add(service);
      else fleet.silent.delete(service);
      return now;
    }
    case 'suspend':
      fleet.paths[what.path]!.callerSuspended = what.suspended;
      return now;
    case 'drills':
      fleet.drillAll(now - what.agoMs, what.failed ? { expired: { kind: 'failed', because: 'answered' } } : {});
      return now;
    case 'heal':
      for (const item of fleet.paths) {
        item.callerSuspended = false;
        fleet.traffic.set(item.pathId, fleet.makeTraffic({ mtls: 100 }));
      }
      for (const id of fleet.foreign.keys())
        fleet.foreign.set(id, { openAnonymous: 0, anonymous: [], anonymousRefused: [], excepted: [], strangers: [] });
      for (const proxy of fleet.proxies.values()) proxy.delivery = { kind: 'acknowledged' };
      fleet.silent.clear();
      return now;
    case 'retry':
      return now;
    default:
      throw new TypeError(String(what satisfies never));
  }
}

/** Plays events, hands each plan to the check, applies its step. Returns how many paths were enforced on the way. */
function play(
  events: readonly Event[],
  unattributed: 'hold' | 'refuse',
  check: (now: Instant, state: RolloutState, facts: RolloutFacts, next: NextStep) => void,
): number {
  const fleet = new RolloutFleet();
  let now = 1_000_000;
  let state = fleet.initialState({ config: { ...quickConfig, unattributed } });
  let enforced = 0;
  for (const what of events) {
    now = happen(fleet, now, what);
    if (what.kind === 'retry') state = { ...state, paths: state.paths.map((item) => ({ ...item, setback: null })) };
    for (let turn = 0; turn < 8; turn++) {
      const facts = fleet.facts(now);
      const next = planNextStep(now, state, facts);
      check(now, state, facts, next);
      if (next.kind !== 'step') break;
      if (next.step.kind === 'enforce') enforced++;
      const paths = new Map(state.paths.map((item) => [item.pathId, item]));
      for (const move of next.step.moves) paths.set(move.pathId, applyMove(now, paths.get(move.pathId)!, move));
      state = { ...state, paths: [...paths.values()] };
    }
  }
  return enforced;
}

const moves = (next: NextStep): readonly PathMove[] => (next.kind === 'step' ? next.step.moves : []);
const histories = fc.array(event, { minLength: 10, maxLength: 60 });

test('no path ever reaches enforce without everything that enforcement needs', () => {
  let enforced = 0;
  fc.assert(
    fc.property(histories, fc.constantFrom('hold' as const, 'refuse' as const), (events, unattributed) => {
      enforced += play(events, unattributed, (now, state, facts, next) => {
        for (const move of moves(next)) {
          if (move.kind !== 'advance' || move.to !== 'enforce') continue;
          const { endpointId } = facts.paths.find(({ pathId }) => pathId === move.pathId)!;
          const item = facts.endpoints.find((known) => known.endpointId === endpointId)!;
          const foreign = facts.soak.endpoints.get(endpointId)!;
          assert.ok(item.receivers.every(({ delivery, lastReportAt }) => delivery.kind === 'acknowledged' && now - lastReportAt! <= 5_000));
          assert.deepEqual(foreign.strangers, []);
          if (unattributed === 'hold') assert.ok(foreign.anonymous.length === 0 && item.openAnonymous === 0);
          for (const other of facts.paths.filter((known) => known.endpointId === endpointId && !known.callerSuspended)) {
            const stood = state.paths.find(({ pathId }) => pathId === other.pathId)!;
            const counts = facts.soak.paths.get(other.pathId)!;
            assert.ok(stood.stage === 'originate' && stood.settledAt !== null && stood.setback === null && now - stood.since >= 13_000);
            assert.ok(
              other.callerProxies.every(({ delivery, lastReportAt }) => delivery.kind === 'acknowledged' && now - lastReportAt! <= 5_000),
            );
            assert.ok(counts.caller.call.sent.plaintext === 0 && other.openPlaintext === 0 && counts.caller.call.sent.mtls >= 10);
            assert.ok(counts.receiver.verified.call * 1.02 + 2 >= counts.caller.call.sent.mtls);
            assert.ok(counts.receiver.wouldRefuse.every((refusal) => refusal.reason === 'revoked'));
          }
        }
      });
    }),
    { numRuns: 300, seed: 20260101 },
  );
  assert.ok(enforced > 50, `only ${enforced} enforcements were examined`);
});

test('anonymous facts never loosen: without them the planner goes back from exactly the same paths', () => {
  fc.assert(
    fc.property(histories, (events) => {
      play(events, 'hold', (now, state, facts, next) => {
        const back = moves(next).filter(({ kind }) => kind === 'set-back');
        if (back.length === 0) return;
        const without: RolloutFacts = {
          ...facts,
          soak: { ...facts.soak, endpoints: new Map() },
          originating: facts.originating && { ...facts.originating, flight: { ...facts.originating.flight, endpoints: new Map() } },
          enforcing: facts.enforcing && { ...facts.enforcing, flight: { ...facts.enforcing.flight, endpoints: new Map() } },
          endpoints: facts.endpoints.map((item) => ({ ...item, openAnonymous: 0 })),
        };
        assert.deepEqual(moves(planNextStep(now, state, without)), back);
      });
    }),
    { numRuns: 300, seed: 20260102 },
  );
});

test('a path goes back only if its wave has failures that authenticated proxies reported, and never once its endpoint is latched', () => {
  fc.assert(
    fc.property(histories, (events) => {
      play(events, 'refuse', (_now, state, facts, next) => {
        const back = moves(next).filter(({ kind }) => kind === 'set-back');
        if (back.length === 0) return;
        const counted = back.map(({ pathId }) => facts.recent.paths.get(pathId)!);
        assert.ok(counted.some(({ caller, receiver }) => caller.call.failed.length > 0 || receiver.refused.length > 0));
        for (const { pathId } of back) {
          const { endpointId } = state.paths.find((item) => item.pathId === pathId)!;
          assert.ok(state.paths.every((item) => item.endpointId !== endpointId || item.latchedAt === null));
        }
      });
    }),
    { numRuns: 300, seed: 20260103 },
  );
});

test('a step only ever loosens by set-back, to one stage before, and a path is proven only by drills after its drain', () => {
  fc.assert(
    fc.property(histories, (events) => {
      play(events, 'refuse', (_now, state, facts, next) => {
        for (const move of moves(next)) {
          const before = state.paths.find(({ pathId }) => pathId === move.pathId)!;
          const after = applyMove(0, before, move);
          assert.equal(isEarlierStage(after.stage, before.stage), move.kind === 'set-back');
          if (move.kind === 'set-back') assert.equal(after.stage, before.stage === 'enforce' ? 'originate' : 'permissive');
          if (after.stage !== 'proven') continue;
          const { drills } = facts.endpoints.find(({ endpointId }) => endpointId === before.endpointId)!;
          assert.ok(drills!.startedAt >= before.settledAt! && [...drills!.verdicts.values()].every(({ kind }) => kind === 'proven'));
        }
      });
    }),
    { numRuns: 300, seed: 20260104 },
  );
});

test('callers never switch before both ends acknowledged and report', () => {
  fc.assert(
    fc.property(histories, (events) => {
      play(events, 'hold', (now, _state, facts, next) => {
        for (const move of moves(next)) {
          if (move.kind !== 'advance' || move.to !== 'originate') continue;
          const moved = facts.paths.find(({ pathId }) => pathId === move.pathId)!;
          const receivers = facts.endpoints.find(({ endpointId }) => endpointId === moved.endpointId)!.receivers;
          for (const { delivery, lastReportAt } of moved.callerSuspended ? receivers : [...receivers, ...moved.callerProxies]) {
            assert.ok(delivery.kind === 'acknowledged' && now - lastReportAt! <= 5_000);
          }
        }
      });
    }),
    { numRuns: 300, seed: 20260105 },
  );
});
