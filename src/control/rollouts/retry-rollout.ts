import type { EntityId } from '../../core/ids/entity-id.ts';
import type { PathMove } from '../../core/rollout/path-state.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor } from '../audit/entry.ts';
import { commitStep } from './commit-step.ts';
import type { RolloutDeps } from './reconcile.ts';
import { changedMeanwhile, readOwnership, readRollouts, requireRollout } from './rollout.ts';
import { checkReason, type RolloutOrder } from './set-status.ts';

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
    const rollout = await requireRollout(unit.queries, order);
    const { states, ownerOf } = await readOwnership(unit.queries, rollout.environment, await readRollouts(unit.queries));
    const reasons = [{ code: 'person-decided', detail: order.reason }] as const;
    const moves = states
      .filter(({ setback, endpointId }) => setback !== null && ownerOf(endpointId) === rollout.rolloutId)
      .map(({ pathId }): PathMove => ({ kind: 'retry', pathId, reasons }));
    if (moves.length === 0)
      throw new Problem('state-conflict', `Cannot retry rollout: no path of ${rollout.name} was rolled back, expected one`);
    const step = { kind: 'retry', parent: rollout.lastStepId, wave: null, moves, reasons } as const;
    if ((await commitStep(unit, deps.fleet, { rollout, states, step, actor, now })) === null) throw changedMeanwhile(rollout.name);
    return { paths: moves.map(({ pathId }) => pathId) };
  });
}
