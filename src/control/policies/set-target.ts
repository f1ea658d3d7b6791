import type { Actor, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { deleteTarget, type TargetRecord, upsertTarget } from './store.ts';

/** Says where endpoints shall come to, and on what conditions; rollouts work from it. In the commit of the declaration. */
export async function setTarget(unit: AuditedUnit, target: TargetRecord, actor: Actor): Promise<void> {
  const { id, environment, region, name, endpoints, mode, config, updatedAt } = target;
  await upsertTarget(unit.queries, target);
  const { unwanted, ...conditions } = config;
  recordEntry(unit, {
    type: 'target.set',
    at: updatedAt,
    environment,
    region,
    actor,
    data: {
      rolloutId: id,
      name,
      mode,
      endpoints: endpoints === 'all' ? 'all' : endpoints.slice(0, MAXIMUM_LOGGED),
      endpointCount: endpoints === 'all' ? null : endpoints.length,
      conditions,
      unwanted: unwanted.slice(0, MAXIMUM_LOGGED).map((caller) => ({ ...caller, reason: caller.reason.slice(0, 200) })),
      unwantedCount: unwanted.length,
    },
  });
}

export async function removeTarget(unit: AuditedUnit, target: TargetRecord, actor: Actor, now: number): Promise<void> {
  const { id, environment, region, name } = target;
  await deleteTarget(unit.queries, id);
  recordEntry(unit, { type: 'target.removed', at: now, environment, region, actor, data: { rolloutId: id, name } });
}

/** A leaf of the log is at most 64 KiB (C2SP tlog-tiles). */
const MAXIMUM_LOGGED = 50;
