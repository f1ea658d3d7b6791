import { DRAIN_MS } from './declaration.ts';
import type { HoldFact, RollbackFact } from './facts.ts';
import { mistrustingCaller, serviceOf, type ServiceName } from './fleet.ts';
import type { Names, RolloutPlan, RolloutStatus } from './product-api.ts';
import type { Run } from './run.ts';

type Shown = { readonly status: RolloutStatus; readonly plan: RolloutPlan; readonly names: Names };

/** Brings the facts and the timeline up to what the rollout shows now. */
export function writeDownRollout({ facts, timeline }: Run, { status, plan, names }: Shown): void {
  const nameOf = (pathId: string | undefined): string => (pathId === undefined ? '' : (names.paths.get(pathId)?.name ?? pathId));
  facts.waves = status.steps
    .filter(({ kind }) => kind !== 'enrol')
    .map(({ kind, wave, at, moves }) => ({ kind, wave, at, paths: moves.map(({ pathId }) => nameOf(pathId)) }))
    .toReversed();
  facts.holds = status.holds.map(({ firstAt, endedAt, reason }): HoldFact => ({
    code: reason.code,
    path: reason.pathId === undefined ? null : nameOf(reason.pathId),
    endpoint: reason.endpointId === undefined ? null : (names.endpoints.get(reason.endpointId) ?? null),
    caller: reason.caller ?? null,
    from: firstAt,
    to: endedAt,
  }));
  facts.rollbacks = status.rollbacks.flatMap(({ at, paths, reasons, firstFailureAt }) =>
    paths
      .filter((pathId) => names.paths.get(pathId)?.caller === mistrustingCaller)
      .map((pathId): RollbackFact => ({
        path: nameOf(pathId),
        reasons: reasons.map(({ code, refusal }) => (refusal === undefined ? code : `${code}: ${refusal}`)),
        decidedAt: at,
        firstFailureAt: firstFailureAt ?? at,
        lastFailureAt: at,
        restoredAt: at,
        secondsToRestore: 0,
        failedCalls: 0,
      })),
  );
  facts.paths = countPaths(plan, names);
  closeEndpoints(timeline.closedAt, status, names);
}

/** A path behind a bridge counts as excepted only when it is proven up to the bridge; a third party's by its declared protection. */
function countPaths({ paths }: RolloutPlan, names: Names): { proven: number; excepted: number; total: number } {
  const kindOf = (pathId: string): string => serviceOf(names.paths.get(pathId)!.endpoint).proxy;
  return {
    proven: paths.filter(({ pathId, stage }) => kindOf(pathId) === 'sidecar' && stage === 'proven').length,
    excepted: paths.filter(
      ({ pathId, stage, protection }) =>
        (kindOf(pathId) === 'bridge' && stage === 'proven') || (kindOf(pathId) === 'none' && protection === 'one-way'),
    ).length,
    total: paths.length,
  };
}

/** An endpoint is closed when its old connections are said to be gone, or when their time is over, whichever is claimed first. */
function closeEndpoints(closedAt: Map<ServiceName, number>, { steps }: RolloutStatus, names: Names): void {
  for (const { kind, at, moves } of steps.toReversed()) {
    if (kind !== 'drained' && kind !== 'enforce') continue;
    for (const { pathId } of moves) {
      const endpoint = names.paths.get(pathId)?.endpoint;
      if (endpoint === undefined) continue;
      const claimed = kind === 'drained' ? at : at + DRAIN_MS + DELIVERY_MS;
      closedAt.set(endpoint, Math.min(claimed, closedAt.get(endpoint) ?? Number.POSITIVE_INFINITY));
    }
  }
}

/** From a decision to the proxies that obey it. */
const DELIVERY_MS = 2_000;
