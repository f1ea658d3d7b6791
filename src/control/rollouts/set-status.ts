import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { changedMeanwhile, requireRollout, type Rollout } from './rollout.ts';
import { insertRollout, updateRollout } from './store.ts';

/** Which rollout, and why a person acts on it. */
export type RolloutOrder = { readonly environment: string; readonly name: string; readonly reason: string };

/** Lets the planner advance. Nothing changes if it does already. @throws not-found */
export async function startRollout(
  deps: { readonly database: AuditedDatabase },
  order: RolloutOrder,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await setStatus(deps, order, 'running', actor, now);
}

/** Stops advancing. A wave in flight can still roll itself back, and weakenings still end on their date. @throws not-found */
export async function pauseRollout(
  deps: { readonly database: AuditedDatabase },
  order: RolloutOrder,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await setStatus(deps, order, 'paused', actor, now);
}

async function setStatus(
  { database }: { readonly database: AuditedDatabase },
  order: RolloutOrder,
  status: Rollout['status'],
  actor: Actor,
  now: Instant,
): Promise<void> {
  checkReason(order.reason);
  await database.commit(async (unit) => {
    const rollout = await requireRollout(unit.queries, order);
    if (rollout.status === status) return;
    if (rollout.revision === 0) await insertRollout(unit.queries, { ...rollout, status, revision: 1 }, now);
    else if (!(await updateRollout(unit.queries, rollout, { status }))) throw changedMeanwhile(rollout.name);
    const { rolloutId, environment, region } = rollout;
    const type = status === 'running' ? 'rollout.started' : 'rollout.paused';
    recordEntry(unit, { type, at: now, environment, region, actor, data: { rolloutId, name: rollout.name, reason: order.reason } });
  });
}

/** @throws input-invalid */
export function checkReason(reason: string): void {
  if (reason.length > MAX_REASON)
    throw new Problem('input-invalid', `Cannot take reason: ${reason.length} characters, expected at most ${MAX_REASON}`);
}

const MAX_REASON = 1_000;
