import type { Instant } from '../time/instant.ts';
import { judgeCallers, judgeReceivers } from './judge-proxies.ts';
import { judgeWave } from './judge-wave.ts';
import { isEarlierStage, type PathMove } from './path-state.ts';
import type { LaneResult } from './planned-step.ts';
import type { Reason } from './reason.ts';
import { controlGroup, isLatched, isStaged, type PathView, type RolloutView } from './rollout-view.ts';

/** The lane in which callers switch to mutual TLS: receivers permissive first, then one wave at a time. */
export function planOrigination(now: Instant, view: RolloutView): LaneResult {
  const flying = view.paths.filter(
    ({ state }) => state.stage === 'originate' && state.settledAt === null && state.weakening === null && state.latchedAt === null,
  );
  const flight = flying.length > 0 ? judgeFlight(now, view, flying) : null;
  if (flight?.kind === 'step' && flight.step.kind === 'roll-back') return flight;
  const next = planSettledRollback(now, view) ?? flight ?? startWave(now, view);
  return next.kind === 'step' ? next : { kind: 'wait', reasons: [...next.reasons, ...findUnequipped(now, view)] };
}

/** Without a proxy at both ends a path cannot move at all; it is named, and does not hold up those that can. */
function findUnequipped(now: Instant, view: RolloutView): readonly Reason[] {
  const waiting = new Set(view.paths.filter(isWaiting).map(({ state }) => state.pathId));
  return view.endpoints.flatMap(({ endpoint, paths }): readonly Reason[] => {
    const ofEndpoint = paths.filter(({ state }) => waiting.has(state.pathId));
    if (ofEndpoint.length === 0) return [];
    return [
      ...(endpoint.receivers.length > 0 ? [] : judgeReceivers(now, endpoint, view.config)),
      ...ofEndpoint.flatMap(({ facts }) => (facts.callerProxies.length > 0 ? [] : judgeCallers(now, facts, view.config))),
    ];
  });
}

/** Enrolled, and its callers have not switched. */
function isWaiting(path: PathView): boolean {
  return (
    isStaged(path) &&
    !path.unwanted &&
    path.state.wave !== null &&
    path.state.weakening === null &&
    isEarlierStage(path.state.stage, 'originate')
  );
}

function judgeFlight(now: Instant, view: RolloutView, flying: readonly PathView[]): LaneResult {
  const wave = flying[0]!.state.wave;
  const windows = view.facts.originating;
  if (windows === null) return { kind: 'wait', reasons: [{ code: 'settling' }] };
  const moved = new Set(flying.map(({ state }) => state.pathId));
  const endpoints = new Set(flying.map(({ state }) => state.endpointId));
  const verdict = judgeWave(
    now,
    { moved: 'originate', since: Math.max(...flying.map(({ state }) => state.since)), paths: flying.map(({ facts }) => facts) },
    {
      config: view.config,
      windows,
      control: controlGroup(view, moved),
      unready: [
        ...view.endpoints
          .filter(({ endpoint }) => endpoints.has(endpoint.endpointId))
          .flatMap(({ endpoint }) => judgeReceivers(now, endpoint, view.config)),
        ...flying.flatMap(({ facts }) => judgeCallers(now, facts, view.config)),
      ],
    },
  );
  switch (verdict.verdict) {
    case 'roll-back':
      return { kind: 'step', step: { kind: 'roll-back', wave, moves: flying.map(setBack(verdict.reasons)), reasons: verdict.reasons } };
    case 'hold':
      return { kind: 'wait', reasons: verdict.reasons };
    case 'advance': {
      const moves = flying.map(({ state }): PathMove => ({
        kind: 'settle',
        pathId: state.pathId,
        stage: 'originate',
        reasons: [{ code: 'wave-good' }],
      }));
      return { kind: 'step', step: { kind: 'settle', wave, moves, reasons: [{ code: 'wave-good', count: moves.length }] } };
    }
    default:
      throw new TypeError(`Cannot plan on verdict: ${String(verdict satisfies never)}`);
  }
}

/** A path that was quiet while its wave was judged may fail later; then it alone goes back. */
function planSettledRollback(now: Instant, view: RolloutView): LaneResult | null {
  const settled = view.paths.filter(
    ({ state }) => state.stage === 'originate' && state.settledAt !== null && state.weakening === null && state.setback === null,
  );
  const latched = new Set(view.endpoints.filter(isLatched).map(({ endpoint }) => endpoint.endpointId));
  const bad = settled
    .filter(({ state }) => !latched.has(state.endpointId))
    .flatMap((path) => {
      const verdict = judgeWave(
        now,
        { moved: 'settled', since: path.state.since, paths: [path.facts] },
        {
          config: view.config,
          windows: { flight: view.facts.recent, baseline: { ...view.facts.recent, paths: new Map(), endpoints: new Map() } },
          control: controlGroup(view, new Set([path.state.pathId])),
          unready: [],
        },
      );
      return verdict.verdict === 'roll-back' ? [{ path, reasons: verdict.reasons }] : [];
    });
  if (bad.length === 0) return null;
  const reasons = bad.flatMap((item) => item.reasons);
  const moves = bad.map((item) => setBack(item.reasons)(item.path));
  return { kind: 'step', step: { kind: 'roll-back', wave: bad[0]!.path.state.wave, moves, reasons } };
}

function setBack(reasons: readonly Reason[]): (path: PathView) => PathMove {
  return ({ state }) => ({ kind: 'set-back', pathId: state.pathId, from: state.stage, to: 'permissive', reasons });
}

/** The next wave that can start: its receivers permissive and acknowledged, its callers present and reporting. */
function startWave(now: Instant, view: RolloutView): LaneResult {
  if (view.target === 'observe') return { kind: 'wait', reasons: [] };
  const waiting = view.paths.filter(isWaiting);
  if (waiting.length === 0) return { kind: 'wait', reasons: [] };
  const setbacks = waiting.filter(({ state }) => state.setback !== null);
  if (setbacks.length > 0) return { kind: 'wait', reasons: setbacks.map(describeSetback) };
  const endpoints = new Map(view.endpoints.map((item) => [item.endpoint.endpointId, item]));
  const equipped = waiting.filter(
    ({ state, facts }) =>
      endpoints.get(state.endpointId)!.endpoint.receivers.length > 0 &&
      (facts.callerProxies.length > 0 || facts.callerSuspended || facts.callerIs === 'foreign'),
  );
  if (equipped.length === 0) return { kind: 'wait', reasons: [] };
  const index = Math.min(...equipped.map(({ state }) => state.wave!));
  const wave = equipped.filter(({ state }) => state.wave === index);
  const served = [...new Set(wave.map(({ state }) => state.endpointId))].map((endpointId) => endpoints.get(endpointId)!);
  const observing = served.flatMap(({ paths }) => paths.filter((path) => path.state.stage === 'observe' && path.state.weakening === null));
  if (observing.length > 0) {
    const reasons: Reason[] = [{ code: 'receivers-first' }];
    const moves = observing.map(({ state }): PathMove => ({
      kind: 'advance',
      pathId: state.pathId,
      from: 'observe',
      to: 'permissive',
      reasons,
    }));
    return { kind: 'step', step: { kind: 'permit', wave: index, moves, reasons } };
  }
  const unready = [
    ...served.flatMap(({ endpoint }) => judgeReceivers(now, endpoint, view.config)),
    ...wave.flatMap(({ facts }) => judgeCallers(now, facts, view.config)),
  ];
  if (unready.length > 0) return { kind: 'wait', reasons: unready };
  const reasons: Reason[] = [{ code: 'receivers-ready', count: wave.length }];
  const moves = wave.map(({ state }): PathMove => ({ kind: 'advance', pathId: state.pathId, from: state.stage, to: 'originate', reasons }));
  return { kind: 'step', step: { kind: 'originate', wave: index, moves, reasons } };
}

function describeSetback({ state }: PathView): Reason {
  const { pathId, endpointId, caller, setback } = state;
  return { code: 'path-rolled-back', pathId, endpointId, caller, ...(setback === null ? {} : { firstSeenAt: setback.at }) };
}
