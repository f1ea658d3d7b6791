import { isReservedSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TelemetryReport } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { admitReport, type ForeignPart, type ReportSender } from './admit-report.ts';
import { type AdmittedReport, storeReports } from './flush-reports.ts';
import { parseReport } from './report.ts';
import { type ReadScopes, ScopeCache } from './scope-cache.ts';

export type IngestResult = {
  /** Say so to the sender: it is on disk, now or from an earlier try. */
  readonly acknowledged: number;
  readonly duplicate: boolean;
  /** Parts about endpoints that the sender neither serves nor calls. They were not counted; the sender broke its bounds. */
  readonly refused: readonly ForeignPart[];
  /** Parts that were not of the documented form, or too many. */
  readonly dropped: number;
};

export type IngestDeps = {
  readonly database: AuditedDatabase;
  /** What each of these proxies serves and calls, from inventory. */
  readonly readScopes: ReadScopes;
  /** Told when reports were committed, a few times a second at most. */
  readonly changed: Signal;
};

/** Reports on their way to the next commit. One per server; several reports share one commit. */
export type TelemetryIngest = {
  submit(sender: ReportSender, report: TelemetryReport, now: Instant): Promise<IngestResult>;
};

/**
 * Counts a report once. Resolves when its counts are durable, so that the sender may forget it; a report that was counted before
 * is acknowledged again. @throws input-invalid, state-conflict (too many reports wait)
 */
export async function ingestReport(
  ingest: TelemetryIngest,
  sender: ReportSender,
  report: TelemetryReport,
  now: Instant,
): Promise<IngestResult> {
  return ingest.submit(sender, report, now);
}

type Waiting = {
  readonly sender: ReportSender;
  readonly report: AdmittedReport['report'];
  readonly now: Instant;
  readonly answer: PromiseWithResolvers<IngestResult>;
};

export function openTelemetryIngest(deps: IngestDeps): TelemetryIngest {
  const scopes = new ScopeCache(deps.readScopes, deps.database.queries);
  const told = new Map<string, Instant>();
  const tell = paceSignal(deps.changed);
  let waiting: Waiting[] = [];
  let flushing = false;

  const flush = async (): Promise<void> => {
    flushing = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_BATCH);
      waiting = waiting.slice(MAX_BATCH);
      try {
        await flushBatch(deps, scopes, told, batch);
        tell();
      } catch (error) {
        for (const { answer } of batch) answer.reject(error);
      }
    }
    flushing = false;
  };

  return {
    submit(sender, wire, now) {
      const answer = Promise.withResolvers<IngestResult>();
      try {
        const report = parseReport(wire);
        if (waiting.length >= MAX_WAITING)
          throw new Problem('state-conflict', `Cannot take report: ${waiting.length} wait, expected fewer`);
        waiting.push({ sender, report, now, answer });
      } catch (error) {
        answer.reject(error);
        return answer.promise;
      }
      // What arrives while a commit runs goes into the next one.
      if (!flushing) void flush();
      return answer.promise;
    },
  };
}

async function flushBatch(deps: IngestDeps, scopes: ScopeCache, told: Map<string, Instant>, batch: readonly Waiting[]): Promise<void> {
  const admitted: (AdmittedReport & { readonly refused: readonly ForeignPart[]; readonly waiting: Waiting })[] = [];
  for (const item of batch) {
    const { sender, report, now } = item;
    const isReserved = isReservedSpiffeId(sender.spiffeId);
    const first = admitReport(sender.spiffeId, isReserved, report, await scopes.get(sender.proxyId, now));
    // A scope that was read before the endpoint was given to the proxy may not refuse it.
    const result =
      first.refused.length === 0 ? first : admitReport(sender.spiffeId, isReserved, report, await scopes.refresh(sender.proxyId, now));
    admitted.push({ sender, report: result.report, receivedAt: now, region: result.region, refused: result.refused, waiting: item });
  }
  const breaches = admitted.filter(({ refused, sender, receivedAt }) => refused.length > 0 && isNews(told, sender.proxyId, receivedAt));
  const duplicates = await deps.database.commit(async (unit) => {
    for (const { sender, region, receivedAt, refused } of breaches) {
      recordEntry(unit, {
        type: 'telemetry.refused',
        at: receivedAt,
        environment: sender.environment,
        region,
        actor: { kind: 'machine', name: sender.spiffeId },
        data: { proxyId: sender.proxyId, parts: refused.slice(0, 20).map(({ endpointId, part }) => ({ endpointId, part })) },
      });
    }
    return storeReports(unit.queries, admitted);
  });
  for (const [at, { waiting, refused }] of admitted.entries()) {
    const { sequence, dropped } = waiting.report;
    waiting.answer.resolve({ acknowledged: sequence, duplicate: duplicates[at]!, refused, dropped });
  }
}

/** A fleet reports all the time; who listens re-reads a lot, and need not do so for each report. */
function paceSignal(signal: Signal): () => void {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    setTimeout(() => {
      pending = false;
      signal.notify();
    }, NOTIFY_MS).unref();
  };
}

/** At most one entry per proxy and minute, so that a broken proxy cannot fill the log. */
function isNews(told: Map<string, Instant>, proxyId: string, now: Instant): boolean {
  const last = told.get(proxyId);
  if (last !== undefined && now - last < TELL_AGAIN_MS) return false;
  if (told.size >= MAX_TOLD) told.clear();
  told.set(proxyId, now);
  return true;
}

const NOTIFY_MS = 200;
const MAX_BATCH = 200;
const MAX_WAITING = 20_000;
const TELL_AGAIN_MS = 60_000;
const MAX_TOLD = 10_000;
