import { DAY_MS, HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { capRefusals, COMPACT_WIDTH_MS, compactCounts, deleteBefore } from './store.ts';

/** How long telemetry is kept. A soak window longer than `countsMs` never becomes green. */
export type TelemetryRetention = {
  /** Counts by the second, afterwards by the minute. */
  readonly secondsMs: number;
  readonly countsMs: number;
  /** Single refusals and drill results. */
  readonly recordsMs: number;
  readonly maxRefusals: number;
};

export const defaultTelemetryRetention: TelemetryRetention = {
  secondsMs: 30 * MINUTE_MS,
  countsMs: 90 * DAY_MS,
  recordsMs: 7 * DAY_MS,
  maxRefusals: 100_000,
};

/** Compacts and forgets. Idempotent; call it by timer, about once a minute. */
export async function pruneTelemetry(
  { database, retention = defaultTelemetryRetention }: { readonly database: AuditedDatabase; readonly retention?: TelemetryRetention },
  now: Instant,
): Promise<void> {
  const seconds = now - retention.secondsMs;
  await database.commit(async ({ queries }) => compactCounts(queries, seconds - (seconds % COMPACT_WIDTH_MS)));
  await database.commit(async ({ queries }) => {
    await deleteBefore(queries, { counts: now - retention.countsMs, records: now - retention.recordsMs, senders: now - SENDERS_MS });
    await capRefusals(queries, retention.maxRefusals);
  });
}

/** A proxy that has been silent for a day says nothing about what it has open. */
const SENDERS_MS = 24 * HOUR_MS;
