import type { Mode } from '../policy/mode.ts';
import type { Instant } from '../time/instant.ts';
import { planEnforcement } from './plan-enforcement.ts';
import { planOrigination } from './plan-origination.ts';
import { planRestorations } from './plan-restorations.ts';
import { isEnforced, type PathMove } from './path-state.ts';
import { planWaves } from './plan-waves.ts';
import type { LaneResult, PlannedStep } from './planned-step.ts';
import type { Reason } from './reason.ts';
import type { RolloutFacts, RolloutState } from './rollout-facts.ts';
import { isStaged, type PathView, type RolloutView, viewRollout } from './rollout-view.ts';

export type NextStep =
  | { readonly kind: 'step'; readonly step: PlannedStep }
  | { readonly kind: 'hold'; readonly reasons: readonly Reason[] }
  | { readonly kind: 'done' };

/**
 * The one planner: promotion and rollback are both just the next step. Pure and deterministic.
 * Order of precedence: going back where callers fail, ending weakenings that are over, then enforcement, then origination.
 * A paused rollout still goes back and still ends weakenings; it never advances.
 */
export function planNextStep(now: Instant, state: RolloutState, facts: RolloutFacts): NextStep {
  const view = viewRollout(now, state, facts);
  const origination = planOrigination(now, view);
  const enforcement = planEnforcement(now, view);
  const urgent = [origination, enforcement].find((lane) => lane.kind === 'step' && lane.step.kind === 'roll-back');
  const waits: Reason[] = [];
  for (const lane of [urgent, planRestorations(now, view), planEnrolment(view, state)]) {
    if (lane?.kind === 'step') return { kind: 'step', step: { ...lane.step, parent: state.lastStepId } };
    if (lane?.kind === 'wait') waits.push(...lane.reasons);
  }
  if (state.status === 'paused') return { kind: 'hold', reasons: [{ code: 'paused' }, ...waits] };
  for (const lane of [enforcement, origination]) {
    if (lane.kind === 'step') return { kind: 'step', step: { ...lane.step, parent: state.lastStepId } };
    waits.push(...lane.reasons);
  }
  if (waits.length === 0 && view.paths.filter(isStaged).every((path) => hasArrived(path, state.target))) return { kind: 'done' };
  return { kind: 'hold', reasons: waits.slice(0, MAX_REASONS) };
}

function hasArrived({ state, unwanted }: PathView, target: Mode): boolean {
  switch (target) {
    case 'observe':
      return true;
    case 'permissive':
      return unwanted || isEnforced(state.stage) || (state.stage === 'originate' && state.settledAt !== null);
    case 'enforce':
      return state.stage === 'proven';
    default:
      throw new TypeError(`Cannot judge target: ${String(target satisfies never)}`);
  }
}

/** Gives new paths their waves. A path that comes to an enforced endpoint is enforced from its first call: anything else would loosen the endpoint. */
function planEnrolment(view: RolloutView, { paths: known }: RolloutState): LaneResult {
  const fresh = view.paths.filter((path) => path.state.wave === null && isStaged(path));
  if (fresh.length === 0) return { kind: 'wait', reasons: [] };
  const last = Math.max(-1, ...view.paths.map(({ state }) => state.wave ?? -1));
  const waves = planWaves(
    fresh.map(({ facts }) => facts),
    new Map(view.endpoints.map(({ endpoint }) => [endpoint.endpointId, endpoint])),
    { firstWave: last + 1, maxPaths: view.config.maxPathsPerWave },
  );
  const present = new Set(view.paths.map(({ state }) => state.pathId));
  // The latch is the endpoint's: it holds although the path that was proven may be gone from the inventory.
  const enforced = new Set(
    known
      .filter(({ pathId, stage, latchedAt }) => latchedAt !== null || (isEnforced(stage) && present.has(pathId)))
      .map(({ endpointId }) => endpointId),
  );
  const moves = fresh.flatMap(({ state }): PathMove[] => {
    const wave = waves.get(state.pathId);
    if (wave === undefined) return [];
    const { pathId, endpointId, caller } = state;
    if (!enforced.has(endpointId)) return [{ kind: 'enrol', pathId, wave, reasons: [{ code: 'new-path', pathId, endpointId, caller }] }];
    const reasons: Reason[] = [{ code: 'endpoint-already-enforced', pathId, endpointId, caller }];
    return [{ kind: 'join', pathId, wave, from: state.stage, to: 'enforce', reasons }];
  });
  if (moves.length === 0) return { kind: 'wait', reasons: [] };
  return { kind: 'step', step: { kind: 'enrol', wave: null, moves, reasons: [{ code: 'new-path', count: moves.length }] } };
}

/** A plan is read by people; the rest is counted in `explainPlan`. */
const MAX_REASONS = 200;
