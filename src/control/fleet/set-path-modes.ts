import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import { listPaths } from '../inventory/store.ts';
import { advanceFleetRevision, listPathModes, type PathMode, upsertPathMode } from './store.ts';

/** A path's mode as a rollout step derives it from the path's stage. */
export type PathModeChange = Pick<PathMode, 'pathId' | 'receiverMode' | 'origination'>;

/**
 * Puts a step's modes into force, in the step's own commit and under its entry. From then on no delivery counts until
 * `reconcileSettings` has compiled them. A path that went meanwhile is left out.
 * @throws state-conflict if a receiver would refuse what its caller is told to send
 */
export async function setPathModes(unit: AuditedUnit, changes: readonly PathModeChange[], now: Instant): Promise<void> {
  const paths = new Map((await listPaths(unit.queries, '*')).map((path) => [path.id, path]));
  const held = new Map((await listPathModes(unit.queries, '*')).map((mode) => [mode.pathId, mode]));
  let changed = 0;
  for (const { pathId, receiverMode, origination } of changes) {
    if (receiverMode === 'enforce' && origination !== 'mtls') {
      throw new Problem('state-conflict', `Cannot set mode of ${pathId}: enforce with ${origination} would refuse every call`);
    }
    const path = paths.get(pathId);
    const before = held.get(pathId);
    if (path === undefined || (before?.receiverMode === receiverMode && before.origination === origination)) continue;
    const { environment, region } = path;
    await upsertPathMode(unit.queries, { pathId, environment, region, receiverMode, origination, updatedAt: now });
    changed += 1;
  }
  if (changed > 0) await advanceFleetRevision(unit.queries);
}
