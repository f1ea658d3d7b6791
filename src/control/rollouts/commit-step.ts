import type { EntityId } from '../../core/ids/entity-id.ts';
import { applyMove, originationOf, type PathMove, type PathState, receiverModeOf } from '../../core/rollout/path-state.ts';
import type { PlannedStep } from '../../core/rollout/planned-step.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { FleetPort } from './fleet-port.ts';
import type { Rollout } from './rollout.ts';
import { insertRollout, insertStep, putPathStates, updateRollout } from './store.ts';

/**
 * Stores a step, what it makes of each path, the modes that fleet shall deliver, and the audit entry: all or nothing.
 * Returns the step's id, or null if the rollout has changed since it was read; then plan again.
 */
export async function commitStep(
  unit: AuditedUnit,
  { setPathModes }: Pick<FleetPort, 'setPathModes'>,
  {
    rollout,
    states,
    step,
    actor,
    now,
  }: {
    readonly rollout: Rollout;
    /** Where each path stood when the step was planned. */
    readonly states: readonly PathState[];
    readonly step: PlannedStep;
    readonly actor: Actor;
    readonly now: Instant;
  },
): Promise<EntityId<'step'> | null> {
  const stepId = newEntityId('step', now);
  // A rollout that nobody started has no row; a person may weaken a path of it all the same.
  if (rollout.revision === 0) await insertRollout(unit.queries, { ...rollout, lastStepId: stepId, revision: 1 }, now);
  else if (!(await updateRollout(unit.queries, rollout, { lastStepId: stepId }))) return null;
  const before = new Map(states.map((state) => [state.pathId, state]));
  const after = new Map<EntityId<'path'>, PathState>();
  for (const move of step.moves) {
    const state = after.get(move.pathId) ?? before.get(move.pathId);
    if (state === undefined) throw new TypeError(`Cannot store step: ${move.pathId} is moved, but it is no path of the rollout`);
    after.set(move.pathId, applyMove(now, state, move));
  }
  const changed = [...after.values()];
  await insertStep(unit.queries, rollout, { stepId, rolloutId: rollout.rolloutId, at: now, ...step });
  await putPathStates(unit.queries, rollout, changed);
  const restaged = changed.filter(({ pathId, stage, wave }) => before.get(pathId)?.stage !== stage || before.get(pathId)?.wave !== wave);
  const modes = restaged.map(({ pathId, stage }) => ({ pathId, receiverMode: receiverModeOf(stage), origination: originationOf(stage) }));
  if (modes.length > 0) await setPathModes(unit, modes, now);
  recordEntry(unit, {
    type: 'rollout.step',
    at: now,
    environment: rollout.environment,
    region: rollout.region,
    actor,
    data: {
      rolloutId: rollout.rolloutId,
      stepId,
      parent: step.parent,
      kind: step.kind,
      wave: step.wave,
      moves: toJson(step.moves.map(describeMove)),
      reasons: toJson(step.reasons.slice(0, MAX_AUDITED_REASONS)),
    },
  });
  return stepId;
}

/** A person stands in a leaf as the actor alone, by a hash that can be made meaningless; a weakening names the person again. */
function describeMove(move: PathMove): unknown {
  return { ...move, reasons: undefined, ...(move.kind === 'weaken' ? { weakening: { ...move.weakening, by: undefined } } : {}) };
}

/** Plain data as the log wants it: absent fields are absent. */
export function toJson(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value)) as JsonValue;
}

/** The step itself has all of them. */
const MAX_AUDITED_REASONS = 50;
