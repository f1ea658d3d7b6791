import type { EntityId } from '../../core/ids/entity-id.ts';
import type { PathMove } from '../../core/rollout/path-state.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor } from '../audit/entry.ts';
import { changedMeanwhile } from './apply-rollout.ts';
import { commitStep } from './commit-step.ts';
import type { RolloutDeps } from './reconcile.ts';
import { checkReason, requireRollout, type RolloutOrder } from './set-status.ts';
import { findRollout, readPathStates } from './store.ts';

/**
 * Lets rolled-back paths try again: a person says that what failed is mended. The gates are the same as the first time.
 * @throws not-found; state-conflict if no path was rolled back
 */
export async function retryRollout(
  deps: RolloutDeps,
  order: RolloutOrder,
  actor: Actor,
  now: Instant,
): Promise<{ readonly paths: readonly EntityId<'path'>[] }> {
  checkReason(order.reason);
  return deps.database.commit(async (unit) => {
    const rollout = requireRollout(await findRollout(unit.queries, order.environment), order);
    const states = await readPathStates(unit.queries, rollout.rolloutId);
    const reasons = [{ code: 'person-decided', detail: order.reason }] as const;
    const moves = states.filter(({ setback }) => setback !== null).map(({ pathId }): PathMove => ({ kind: 'retry', pathId, reasons }));
    if (moves.length === 0)
      throw new Problem('state-conflict', `Cannot retry rollout: no path of ${rollout.name} was rolled back, expected one`);
    const step = { kind: 'retry', parent: rollout.lastStepId, wave: null, moves, reasons } as const;
    if ((await commitStep(unit, deps.fleet, { rollout, states, step, actor, now })) === null) throw changedMeanwhile(rollout.name);
    return { paths: moves.map(({ pathId }) => pathId) };
  });
}
