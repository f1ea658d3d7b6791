import { type Reason, reasonKey } from '../../core/rollout/reason.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { toJson } from './commit-step.ts';
import { type Hold, putHolds, readHolds, type RolloutRecord } from './store.ts';

/**
 * Keeps which reasons hold and since when. Waiting that is only the passing of time is no hold worth keeping. A reason is logged
 * when it holds for the first time; one that comes and goes is one hold, so a peer that flickers cannot fill the log.
 */
export async function recordHolds(
  database: AuditedDatabase,
  rollout: RolloutRecord,
  reasons: readonly Reason[],
  now: Instant,
): Promise<void> {
  const stored = new Map((await readHolds(database.queries, rollout.rolloutId)).map((hold) => [reasonKey(hold.reason), hold]));
  const current = new Map(reasons.filter(({ code }) => !passing.has(code)).map((reason) => [reasonKey(reason), reason]));
  const begun: Hold[] = [];
  const changed: Hold[] = [];
  for (const [key, reason] of current) {
    const before = stored.get(key);
    if (before === undefined) begun.push({ reason, firstAt: now, lastAt: now, endedAt: null });
    else if (before.endedAt !== null || now - before.lastAt >= REFRESH_MS) changed.push({ ...before, reason, lastAt: now, endedAt: null });
  }
  for (const [key, hold] of stored) {
    if (!current.has(key) && hold.endedAt === null && now - hold.lastAt >= REFRESH_MS) changed.push({ ...hold, endedAt: now });
  }
  if (begun.length === 0 && changed.length === 0) return;
  await database.commit(async (unit) => {
    await putHolds(unit.queries, rollout, [...begun, ...changed]);
    if (begun.length === 0) return;
    recordEntry(unit, {
      type: 'rollout.held',
      at: now,
      environment: rollout.environment,
      region: rollout.region,
      actor: { kind: 'system', name: 'rollout' },
      data: { rolloutId: rollout.rolloutId, count: begun.length, reasons: toJson(begun.slice(0, MAX_AUDITED).map(({ reason }) => reason)) },
    });
  });
}

const passing: ReadonlySet<Reason['code']> = new Set([
  'settling',
  'soaking',
  'path-not-ready',
  'not-acknowledged',
  'drills-pending',
  'draining',
]);
const REFRESH_MS = 2 * SECOND_MS;
const MAX_AUDITED = 50;
