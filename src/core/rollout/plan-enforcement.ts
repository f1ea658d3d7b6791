import { drillReasons, type DrillRunKind, POSITIVE_DRILL } from '../findings/drill-kind.ts';
import type { Instant } from '../time/instant.ts';
import { judgeGate } from './judge-gate.ts';
import { judgeCallers, judgeReceivers } from './judge-proxies.ts';
import { judgeWave } from './judge-wave.ts';
import { isEnforced, type PathMove } from './path-state.ts';
import type { LaneResult } from './planned-step.ts';
import type { Reason } from './reason.ts';
import { controlGroup, type EndpointView, isLatched, isStaged, type RolloutView } from './rollout-view.ts';

/** The lane in which endpoints become enforced, drained and proven, a few at a time, the canary alone and first. */
export function planEnforcement(now: Instant, view: RolloutView): LaneResult {
  const flying = view.endpoints.filter(({ paths }) => paths.some(({ state }) => state.stage === 'enforce' && state.weakening === null));
  const back = planRollback(now, view, flying);
  if (back !== null) return back;
  const waits: Reason[] = [];
  for (const endpoint of flying) {
    const result = finishEndpoint(now, view, endpoint);
    if (result.kind === 'step') return result;
    waits.push(...result.reasons);
  }
  if (flying.length > 0) return { kind: 'wait', reasons: waits };
  return view.target === 'enforce' ? enforceNext(now, view) : { kind: 'wait', reasons: [] };
}

/** Endpoints whose callers fail, or whose good callers are refused, since they were enforced. A latched endpoint is out of reach. */
function planRollback(now: Instant, view: RolloutView, flying: readonly EndpointView[]): LaneResult | null {
  const windows = view.facts.enforcing;
  if (windows === null) return null;
  const moved = new Set(flying.flatMap(({ paths }) => paths.map(({ state }) => state.pathId)));
  const control = controlGroup(view, moved);
  const bad = flying
    .filter((endpoint) => !isLatched(endpoint))
    .flatMap((endpoint) => {
      const paths = endpoint.paths.filter(({ state }) => state.stage === 'enforce' && state.weakening === null);
      const verdict = judgeWave(
        now,
        {
          moved: 'enforce',
          since: Math.max(...paths.map(({ state }) => state.since)),
          paths: paths.filter(({ unwanted }) => !unwanted).map(({ facts }) => facts),
        },
        { config: view.config, windows, control, unready: [] },
      );
      return verdict.verdict === 'roll-back' ? [{ paths, reasons: verdict.reasons }] : [];
    });
  if (bad.length === 0) return null;
  const moves = bad.flatMap(({ paths, reasons }) =>
    paths.map(({ state }): PathMove => ({ kind: 'set-back', pathId: state.pathId, from: state.stage, to: 'originate', reasons })),
  );
  const reasons = bad.flatMap((item) => item.reasons);
  return { kind: 'step', step: { kind: 'roll-back', wave: bad[0]!.paths[0]!.state.wave, moves, reasons } };
}

/** Drain, then drills, then proven. */
function finishEndpoint(now: Instant, view: RolloutView, item: EndpointView): LaneResult {
  const weakened = item.paths.filter(({ state }) => !isEnforced(state.stage));
  if (weakened.length > 0) {
    return {
      kind: 'wait',
      reasons: weakened.map(({ state }) => ({ code: 'path-not-ready', pathId: state.pathId, endpointId: state.endpointId })),
    };
  }
  const enforced = item.paths.filter(({ state }) => state.stage === 'enforce' && state.weakening === null);
  const wave = enforced[0]!.state.wave;
  const undrained = enforced.filter(({ state }) => state.settledAt === null);
  if (undrained.length > 0) {
    const waits = judgeDrain(now, view, item);
    if (waits.length > 0) return { kind: 'wait', reasons: waits };
    const reasons: Reason[] = [{ code: 'drained', endpointId: item.endpoint.endpointId }];
    const moves = undrained.map(({ state }): PathMove => ({ kind: 'settle', pathId: state.pathId, stage: 'enforce', reasons }));
    return { kind: 'step', step: { kind: 'drained', wave, moves, reasons } };
  }
  const waits = judgeDrills(item, Math.max(...enforced.map(({ state }) => state.settledAt!)));
  if (waits.length > 0) return { kind: 'wait', reasons: waits };
  const reasons: Reason[] = [{ code: 'drills-refused', endpointId: item.endpoint.endpointId }];
  const moves = enforced.map(({ state }): PathMove => ({ kind: 'advance', pathId: state.pathId, from: 'enforce', to: 'proven', reasons }));
  return { kind: 'step', step: { kind: 'prove', wave, moves, reasons } };
}

/** Why the enforcement is not complete: someone has not acknowledged it, or connections of before are open. */
function judgeDrain(now: Instant, view: RolloutView, { endpoint, paths }: EndpointView): Reason[] {
  const { config } = view;
  const since = Math.max(...paths.map(({ state }) => state.since));
  const waits = [
    ...judgeReceivers(now, endpoint, config),
    ...paths.flatMap(({ facts, unwanted }) => (unwanted ? [] : judgeCallers(now, facts, config))),
  ];
  // Counts of open connections are as old as the report they came in: each must be younger than the enforcement.
  const stale = endpoint.receivers.some(({ lastReportAt }) => lastReportAt === null || lastReportAt <= since);
  if (stale || now < since + config.settleMs)
    waits.push({ code: 'settling', endpointId: endpoint.endpointId, until: since + config.settleMs });
  const open = Math.max(endpoint.openAnonymous, ...paths.map(({ facts, unwanted }) => (unwanted ? 0 : facts.openPlaintext)));
  if (open > 0) {
    const until = since + config.drainMs;
    waits.push({ code: now < until ? 'draining' : 'drain-overdue', endpointId: endpoint.endpointId, count: open, until });
  }
  return waits;
}

/** Why the drills do not prove the endpoint. Only a run ordered after the drain counts, and only a complete one. */
function judgeDrills({ endpoint }: EndpointView, drainedAt: Instant): Reason[] {
  const { drills, endpointId } = endpoint;
  if (drills === null || drills.startedAt < drainedAt) return [{ code: 'drills-pending', endpointId }];
  return requiredDrills.flatMap((kind): Reason[] => {
    const verdict = drills.verdicts.get(kind);
    if (verdict === undefined || verdict.kind === 'waiting') return [{ code: 'drills-pending', endpointId, detail: kind }];
    return verdict.kind === 'failed' ? [{ code: 'drill-failed', endpointId, detail: `${kind}: ${verdict.because}` }] : [];
  });
}

/** Enforces the endpoints whose gate is green: one alone while none is proven, then all that are ready and not adjacent. */
function enforceNext(now: Instant, view: RolloutView): LaneResult {
  const candidates = view.endpoints.filter(isCandidate).toSorted((a, b) => lastWaveOf(a) - lastWaveOf(b));
  const ready: EndpointView[] = [];
  const waits: Reason[] = [];
  for (const item of candidates) {
    const reasons = judgeGate(now, item, view.config, view.facts);
    if (reasons.length === 0) ready.push(item);
    else waits.push(...reasons);
  }
  if (ready.length === 0) return { kind: 'wait', reasons: waits };
  const isFirst = !view.paths.some(({ state }) => state.latchedAt !== null);
  const chosen = chooseBatch(ready, isFirst ? 1 : view.config.maxPathsPerWave);
  const moves = chosen.flatMap(({ endpoint, paths }) =>
    paths
      .filter(({ state }) => !isEnforced(state.stage))
      .map(({ state }): PathMove => ({
        kind: 'advance',
        pathId: state.pathId,
        from: state.stage,
        to: 'enforce',
        reasons: [{ code: 'gate-green', endpointId: endpoint.endpointId }],
      })),
  );
  const reasons = chosen.map(({ endpoint }): Reason => ({ code: 'gate-green', endpointId: endpoint.endpointId }));
  return { kind: 'step', step: { kind: 'enforce', wave: Math.max(...chosen.map(lastWaveOf)), moves, reasons } };
}

/** Worth asking the gate: some path of the endpoint has switched and is not enforced. The others are the other lane's business. */
function isCandidate(item: EndpointView): boolean {
  return item.paths.some((path) => isStaged(path) && !path.unwanted && path.state.stage === 'originate' && path.state.weakening === null);
}

function lastWaveOf({ paths }: EndpointView): number {
  return Math.max(...paths.map(({ state }) => state.wave ?? 0));
}

/** In order, leaving out for later what is adjacent to one that was taken, and never more than so many paths (but at least one endpoint). */
function chooseBatch(ready: readonly EndpointView[], maxPaths: number): readonly EndpointView[] {
  const chosen: EndpointView[] = [];
  let taken = 0;
  for (const item of ready) {
    if (chosen.length > 0 && taken + item.paths.length > maxPaths) continue;
    if (chosen.some((other) => isAdjacent(item, other) || isAdjacent(other, item))) continue;
    chosen.push(item);
    taken += item.paths.length;
  }
  return chosen;
}

function isAdjacent(a: EndpointView, b: EndpointView): boolean {
  return a.paths.some(({ facts }) => facts.callerServiceId === b.endpoint.serviceId);
}

const requiredDrills: readonly DrillRunKind[] = [POSITIVE_DRILL, ...(Object.keys(drillReasons) as DrillRunKind[])];
