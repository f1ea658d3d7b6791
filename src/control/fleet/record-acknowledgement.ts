import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listSettings, markAcknowledged, markRefused } from './store.ts';

/** What a proxy said of one generation of its settings. With a refusal it runs what it ran before. */
export type SettingsAnswer = { readonly proxyId: EntityId<'proxy'>; readonly generation: number; readonly refusal?: string };

/** Keeps the answer. One of a generation that is not the proxy's, or that it gave already, changes nothing. */
export async function recordAcknowledgement(
  deps: {
    readonly database: AuditedDatabase;
    /** Wakes whoever waits for deliveries; not the streams, which have nothing new to send. */ readonly answered: Signal;
  },
  answer: SettingsAnswer,
  now: Instant,
): Promise<void> {
  const { proxyId, generation } = answer;
  const refusal = answer.refusal?.slice(0, MAXIMUM_REFUSAL);
  const changed = await deps.database.commit(async (unit) => {
    if (refusal === undefined) return markAcknowledged(unit.queries, proxyId, generation, now);
    if (!(await markRefused(unit.queries, proxyId, generation, refusal))) return false;
    const settings = (await listSettings(unit.queries, '*')).find((record) => record.proxyId === proxyId)!;
    const { environment, region } = settings;
    const actor = { kind: 'machine', name: proxyId } as const;
    recordEntry(unit, { type: 'settings.refused', at: now, environment, region, actor, data: { proxyId, generation, refusal } });
    return true;
  });
  if (changed) deps.answered.notify();
}

const MAXIMUM_REFUSAL = 500;
