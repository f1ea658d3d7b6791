import type { EntityId } from '../../core/ids/entity-id.ts';
import { isEarlierStage, type PathMove, type Weakening } from '../../core/rollout/path-state.ts';
import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { Actor } from '../audit/entry.ts';
import { commitStep } from './commit-step.ts';
import type { RolloutDeps } from './reconcile.ts';
import { changedMeanwhile, readOwnership, readRollouts } from './rollout.ts';
import { checkReason } from './set-status.ts';

export type WeakeningOrder = {
  readonly environment: string;
  readonly pathId: EntityId<'path'>;
  readonly to: Weakening['to'];
  readonly until: Instant;
  readonly reason: string;
};

/**
 * The only way by which a proven path loosens: a person, with a reason and an end date. As an endpoint meets anonymous peers with the
 * weakest mode of its paths, this loosens the endpoint. @throws not-found, input-invalid; state-conflict if it would not loosen
 */
export async function weakenPath(
  deps: RolloutDeps,
  order: WeakeningOrder,
  actor: Actor,
  now: Instant,
): Promise<{ readonly stepId: EntityId<'step'> }> {
  const { environment, pathId, to, until, reason } = order;
  checkReason(reason);
  if (actor.kind !== 'person')
    throw new Problem('forbidden', `Cannot weaken path: asked by ${actor.kind} ${actor.name}, expected a person`);
  if (reason.trim() === '') throw new Problem('input-invalid', 'Cannot weaken path: no reason, expected one');
  if (!Number.isSafeInteger(until) || until <= now || until > now + MAX_WEAKENING_MS) {
    throw new Problem('input-invalid', `Cannot weaken path: end date ${until}, expected one within ${MAX_WEAKENING_MS / DAY_MS} days`);
  }
  const stepId = await deps.database.commit(async (unit) => {
    const rollouts = await readRollouts(unit.queries);
    const { states, ownerOf } = await readOwnership(unit.queries, environment, rollouts);
    const state = states.find((path) => path.pathId === pathId);
    const rollout = state === undefined ? undefined : rollouts.find(({ rolloutId }) => rolloutId === ownerOf(state.endpointId));
    if (rollout === undefined || state === undefined)
      throw new Problem('not-found', `Cannot find path: ${pathId.slice(0, 100)} in ${environment}, expected one of its rollout`);
    if (!isEarlierStage(to, state.stage))
      throw new Problem('state-conflict', `Cannot weaken path: it is in ${state.stage}, expected a stage after ${to}`);
    const reasons = [{ code: 'person-decided', pathId, endpointId: state.endpointId, until, detail: reason }] as const;
    const weakening: Weakening = { to, by: actor.name, reason, until };
    const move: PathMove = { kind: 'weaken', pathId, from: state.stage, to, weakening, reasons };
    const step = { kind: 'weaken', parent: rollout.lastStepId, wave: null, moves: [move], reasons } as const;
    const stored = await commitStep(unit, deps.fleet, { rollout, states, step, actor, now });
    if (stored === null) throw changedMeanwhile(rollout.name);
    return stored;
  });
  deps.modesChanged.notify();
  return { stepId };
}

/** Longer than a year is not temporary. */
const MAX_WEAKENING_MS = 366 * DAY_MS;
