import type { PlannedStep, StepKind } from '../../core/rollout/planned-step.ts';
import { type NextStep, planNextStep } from '../../core/rollout/plan-next-step.ts';
import type { Reason } from '../../core/rollout/reason.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { commitStep } from './commit-step.ts';
import type { FleetPort } from './fleet-port.ts';
import { readRolloutFacts } from './read-facts.ts';
import { recordHolds } from './record-holds.ts';
import { readOwnership, readRollouts } from './rollout.ts';

export type RolloutDeps = {
  readonly database: AuditedDatabase;
  readonly fleet: FleetPort;
  /** Told after each step that changed what proxies must do. */
  readonly modesChanged: Signal;
};

export type RolloutOutcome = {
  readonly rolloutId: EntityId<'rollout'>;
  readonly steps: readonly StepKind[];
  /** What the planner said after the last step. */
  readonly kind: NextStep['kind'];
  readonly reasons: readonly Reason[];
};

/**
 * Brings every rollout as far as the facts allow. Reads all state anew, so it may be called at any time and after any crash;
 * two that run at once cannot both append to one step.
 */
export async function reconcile(deps: RolloutDeps, now: Instant): Promise<readonly RolloutOutcome[]> {
  const outcomes: RolloutOutcome[] = [];
  for (const { rolloutId, revision } of await readRollouts(deps.database.queries)) {
    if (revision > 0) outcomes.push(await reconcileOne(deps, rolloutId, now));
  }
  return outcomes;
}

async function reconcileOne(deps: RolloutDeps, rolloutId: EntityId<'rollout'>, now: Instant): Promise<RolloutOutcome> {
  const steps: StepKind[] = [];
  const { queries } = deps.database;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const rollouts = await readRollouts(queries);
    const rollout = rollouts.find((known) => known.rolloutId === rolloutId);
    if (rollout === undefined) return { rolloutId, steps, kind: 'done', reasons: [] };
    const ownership = await readOwnership(queries, rollout.environment, rollouts);
    const { state, facts } = await readRolloutFacts(queries, deps.fleet, { rollout, ownership, purpose: 'plan' }, now);
    const next = planNextStep(now, state, facts);
    if (next.kind !== 'step') {
      const reasons = next.kind === 'hold' ? next.reasons : [];
      await recordHolds(deps.database, rollout, reasons, now);
      return { rolloutId, steps, kind: next.kind, reasons };
    }
    const { step } = next;
    const actor = { kind: 'system', name: 'rollout' } as const;
    const stepId = await deps.database.commit((unit) => commitStep(unit, deps.fleet, { rollout, states: state.paths, step, actor, now }));
    if (stepId === null) continue;
    steps.push(step.kind);
    if (!changesModes(step)) continue;
    deps.modesChanged.notify();
    // Proxies have to act now; their acknowledgements wake the next turn.
    return { rolloutId, steps, kind: 'hold', reasons: step.reasons };
  }
  return { rolloutId, steps, kind: 'hold', reasons: [] };
}

function changesModes({ kind }: PlannedStep): boolean {
  return !['enrol', 'settle', 'drained', 'prove'].includes(kind);
}

/** Enough for a wave to settle, its endpoint to be drained and proven, and the next wave to start. */
const MAX_ROUNDS = 16;
