import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import { listPaths } from '../inventory/store.ts';
import { advanceFleetRevision, listPathModes, type PathMode, upsertPathMode } from './store.ts';

/** A path's mode as a rollout step derives it from the path's stage. */
export type PathModeChange = Pick<PathMode, 'pathId' | 'receiverMode' | 'origination' | 'stepId'>;

/**
 * Puts a step's modes into force, in the step's own commit and under its entry. From then on no delivery counts until
 * `reconcileSettings` has compiled them. A path that went meanwhile is left out.
 * @returns how many changed
 */
export async function setPathModes(unit: AuditedUnit, changes: readonly PathModeChange[]): Promise<number> {
  const paths = new Map((await listPaths(unit.queries, '*')).map((path) => [path.id, path]));
  const held = new Map<EntityId<'path'>, PathMode>((await listPathModes(unit.queries, '*')).map((mode) => [mode.pathId, mode]));
  let changed = 0;
  for (const change of changes) {
    const path = paths.get(change.pathId);
    if (path === undefined) continue;
    const before = held.get(change.pathId);
    if (change.receiverMode === 'enforce' && change.origination !== 'mtls') {
      throw new Problem('state-conflict', `Cannot set mode of ${change.pathId}: the receiver would refuse what the caller sends`);
    }
    if (before?.receiverMode === change.receiverMode && before.origination === change.origination) continue;
    await upsertPathMode(unit.queries, { ...change, environment: path.environment, region: path.region });
    changed += 1;
  }
  if (changed > 0) await advanceFleetRevision(unit.queries);
  return changed;
}
