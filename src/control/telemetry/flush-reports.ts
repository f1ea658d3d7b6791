import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { ReportSender } from './admit-report.ts';
import { bucketOf } from './read-telemetry.ts';
import type { ParsedReport } from './report.ts';
import {
  addCounts,
  addDrillResults,
  addRefusals,
  BUCKET_WIDTH_MS,
  type CountRow,
  type DrillResultRow,
  type OpenRow,
  putSenders,
  putServed,
  readSenders,
  type RefusalRow,
  replaceOpen,
  type SenderRow,
  type ServedRow,
} from './store.ts';

export type AdmittedReport = {
  readonly sender: ReportSender;
  readonly report: ParsedReport;
  readonly receivedAt: Instant;
  readonly region: string;
};

/**
 * Writes reports within one unit, in order, and says for each whether it had been counted before (by proxy, boot and sequence).
 * What several reports add to one bucket is added up first.
 */
export async function storeReports(queries: Queries, reports: readonly AdmittedReport[]): Promise<readonly boolean[]> {
  const proxyIds = [...new Set(reports.map(({ sender }) => sender.proxyId))];
  const senders = new Map((await readSenders(queries, proxyIds)).map((row) => [senderKey(row.proxy_id, row.boot_id), row]));
  const touched = new Map<string, SenderRow>();
  const fresh: AdmittedReport[] = [];
  const offsets = new Map<AdmittedReport, number>();
  const duplicates = reports.map((item) => {
    const key = senderKey(item.sender.proxyId, item.report.bootId);
    const before = senders.get(key);
    if (before !== undefined && before.sequence >= item.report.sequence) return true;
    const row = nextSender(item, before);
    senders.set(key, row);
    touched.set(key, row);
    fresh.push(item);
    offsets.set(item, row.clock_offset_ms);
    return false;
  });
  await addCounts(queries, mergeCounts(fresh, offsets));
  await putSenders(queries, [...touched.values()]);
  const latest = new Map(fresh.map((item) => [item.sender.proxyId, item]));
  await replaceOpen(queries, [...latest.keys()], [...latest.values()].flatMap(openRows));
  await addRefusals(queries, fresh.flatMap(refusalRows));
  await putServed(
    queries,
    lastByKey(fresh.flatMap(servedRows), (row) => `${row.proxy_id} ${row.endpoint_id}`),
  );
  await addDrillResults(queries, fresh.flatMap(drillRows));
  return duplicates;
}

/** The least delay between the end of a window and its arrival tells the sender's clock from ours, as long as one report came without delay. */
function nextSender({ sender, report, receivedAt, region }: AdmittedReport, before: SenderRow | undefined): SenderRow {
  const delay = receivedAt - report.windowEnd;
  return {
    proxy_id: sender.proxyId,
    boot_id: report.bootId,
    environment: sender.environment,
    region,
    sequence: report.sequence,
    last_report_at: receivedAt,
    generation: report.generation,
    revoked_sequence: report.revokedSequence,
    refusals_dropped: (before?.refusals_dropped ?? 0) + report.refusalsDropped,
    clock_offset_ms: before === undefined ? delay : Math.min(before.clock_offset_ms, delay),
  };
}

function mergeCounts(reports: readonly AdmittedReport[], offsets: ReadonlyMap<AdmittedReport, number>): readonly CountRow[] {
  const rows = new Map<string, CountRow>();
  for (const item of reports) {
    const { sender, report, receivedAt, region } = item;
    // By our clock; never in the future, never so long ago that nobody would look.
    const at = Math.max(receivedAt - MAX_BACKLOG_MS, Math.min(receivedAt, middleOf(report) + offsets.get(item)!) - 1);
    const bucket_at = bucketOf(at);
    for (const { endpointId, side, caller, channel, unit, outcome, reason, exception, generation, count } of report.counts) {
      // Of reason and exception at most one is there, and the outcome tells which.
      const why = `${reason}${exception}`;
      const key = [sender.environment, region, bucket_at, endpointId, side, caller, channel, unit, outcome, why, generation].join(' ');
      const row = rows.get(key) ?? {
        environment: sender.environment,
        region,
        bucket_at,
        width_ms: BUCKET_WIDTH_MS,
        endpoint_id: endpointId,
        side,
        caller,
        channel,
        unit,
        outcome,
        reason,
        exception,
        generation,
        count: 0,
      };
      rows.set(key, { ...row, count: row.count + count });
    }
  }
  return [...rows.values()];
}

/**
 * The middle of a window as wide as a bucket, so that neither the way of the report nor a small error of the offset moves it to the next; as
 * far from the end of a wider one, of which most is to be known as new.
 */
function middleOf({ windowStart, windowEnd }: ParsedReport): Instant {
  return windowEnd - Math.floor(Math.max(0, Math.min(BUCKET_WIDTH_MS, windowEnd - windowStart)) / 2);
}

function openRows({ sender, report, region }: AdmittedReport): OpenRow[] {
  const rows = report.open
    .filter(({ count }) => count > 0)
    .map(({ side, endpointId, caller, channel, count }): OpenRow => ({
      proxy_id: sender.proxyId,
      side,
      endpoint_id: endpointId,
      caller,
      channel,
      environment: sender.environment,
      region,
      count,
    }));
  return lastByKey(rows, (row) => `${row.side} ${row.endpoint_id} ${row.caller} ${row.channel}`);
}

function refusalRows({ sender, report, receivedAt, region }: AdmittedReport): RefusalRow[] {
  return report.refusals.map((refusal, position) => ({
    proxy_id: sender.proxyId,
    boot_id: report.bootId,
    sequence: report.sequence,
    position,
    environment: sender.environment,
    region,
    endpoint_id: refusal.endpointId,
    at: refusal.at,
    received_at: receivedAt,
    first_octets_sha256: refusal.firstOctetsSha256,
    reason: refusal.reason,
    caller: refusal.caller,
    issuer_key_sha256: refusal.issuerKeySha256,
    serial: refusal.serial,
    resumed: refusal.resumed ? 1 : 0,
    octets_forwarded: refusal.octetsForwarded,
    remote_address: refusal.remoteAddress,
  }));
}

function servedRows({ sender, report, receivedAt, region }: AdmittedReport): ServedRow[] {
  return report.served.map((served) => ({
    proxy_id: sender.proxyId,
    endpoint_id: served.endpointId,
    environment: sender.environment,
    region,
    issuer_key_sha256: served.issuerKeySha256,
    serial: served.serial,
    serial_octets: Buffer.from(served.serial, 'hex'),
    not_after: served.notAfter,
    seen_at: receivedAt,
  }));
}

function drillRows({ sender, report, receivedAt, region }: AdmittedReport): DrillResultRow[] {
  return report.drills.map((drill) => ({
    job_id: drill.jobId,
    endpoint_id: drill.endpointId,
    kind: drill.kind,
    proxy_id: sender.proxyId,
    environment: sender.environment,
    region,
    at: drill.at,
    received_at: receivedAt,
    first_octets_sha256: drill.firstOctetsSha256,
    octets_sent: drill.octetsSent,
    octets_answered: drill.octetsAnswered,
    seen: drill.seen,
    presented_serial: drill.presentedSerial,
    served_serial: drill.servedSerial,
    resumed: drill.resumed ? 1 : 0,
    local_address: drill.localAddress,
    offered_session: drill.offeredSession ? 1 : 0,
  }));
}

function lastByKey<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Row[] {
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()];
}

function senderKey(proxyId: EntityId<'proxy'>, bootId: string): string {
  return `${proxyId} ${bootId}`;
}

/** A backlog older than this counts as this old. */
const MAX_BACKLOG_MS = 15 * 60_000;
