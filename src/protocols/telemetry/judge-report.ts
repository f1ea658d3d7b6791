import { drillReasons, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import {
  Channel,
  type DrillResult,
  type OpenConnections,
  Outcome,
  type PathCount,
  type Refusal,
  type ServedCertificate,
  Side,
  type TelemetryReport,
  Unit,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { isRefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Node } from '../data-plane/peer.ts';
import { Violation } from '../data-plane/violation.ts';

/** The endpoints by id that a data plane may speak of, each on its own side. */
export type ReportScope = { readonly serves: ReadonlySet<string>; readonly calls: ReadonlySet<string> };

/**
 * Returns if this node may send this report: bounded, well formed, and only about what it serves or calls itself.
 * @throws input-invalid; Violation (telemetry-refused) for foreign endpoints and for what only the probe measures
 */
export function judgeReport(node: Node, scope: ReportScope, report: TelemetryReport): void {
  judgeSizes(report);
  if (report.bootId === '' || report.bootId.length > MAXIMUM_BOOT_ID)
    throw malformed('boot_id', report.bootId.length, `1 to ${MAXIMUM_BOOT_ID} characters`);
  if (report.sequence < 1n) throw malformed('sequence', report.sequence, 'at least 1');
  for (const name of ['sequence', 'windowStartMs', 'windowEndMs', 'refusalsDropped', 'revokedSequence', 'generation'] as const) {
    judgeNumber(name, report[name]);
  }
  if (report.windowEndMs < report.windowStartMs) throw malformed('window_end_ms', report.windowEndMs, `at least ${report.windowStartMs}`);
  for (const count of report.counts) judgeCount(node, scope, count);
  for (const open of report.open) judgeOpen(node, scope, open);
  for (const refusal of report.refusals) judgeRefusal(scope, refusal);
  for (const served of report.served) judgeServed(scope, served);
  for (const drill of report.drills) judgeDrill(node, drill);
}

function judgeSizes(report: TelemetryReport): void {
  for (const [name, limit] of Object.entries(LIMITS) as [keyof typeof LIMITS, number][]) {
    if (report[name].length > limit) throw malformed(name, report[name].length, `at most ${limit}`);
  }
}

function judgeCount(node: Node, scope: ReportScope, count: PathCount): void {
  judgeSide(node, scope, count);
  judgeEnum('channel', Channel, count.channel);
  judgeEnum('unit', Unit, count.unit);
  judgeEnum('outcome', Outcome, count.outcome);
  if (count.reason !== '' && !isRefusalReason(count.reason))
    throw malformed('reason', JSON.stringify(count.reason.slice(0, 60)), 'a word of the closed set');
  if (count.reason === '' && count.outcome !== Outcome.ACCEPTED)
    throw malformed('reason', '""', 'a word where the outcome is not accepted');
  judgeNumber('count', count.count);
  judgeNumber('generation', count.generation);
}

function judgeOpen(node: Node, scope: ReportScope, open: OpenConnections): void {
  judgeSide(node, scope, open);
  judgeEnum('channel', Channel, open.channel);
}

/** A caller speaks of itself; a receiver of whoever proved a name to it. */
function judgeSide(node: Node, scope: ReportScope, { side, endpointId, caller }: Pick<PathCount, 'side' | 'endpointId' | 'caller'>): void {
  judgeEnum('side', Side, side);
  const own = side === Side.CALLER ? scope.calls : scope.serves;
  if (!own.has(endpointId)) throw foreign(endpointId);
  judgeCaller(caller);
  if (side === Side.CALLER && caller !== '' && caller !== node.spiffeId)
    throw new Violation('foreign-path', 'it counts calls of another caller');
}

function judgeRefusal(scope: ReportScope, refusal: Refusal): void {
  if (!scope.serves.has(refusal.endpointId)) throw foreign(refusal.endpointId);
  judgeCaller(refusal.caller);
  if (!isRefusalReason(refusal.reason)) throw malformed('reason', JSON.stringify(refusal.reason.slice(0, 60)), 'a word of the closed set');
  judgeDigest('first_octets_sha256', refusal.firstOctetsSha256);
  judgeDigest('issuer_key_sha256', refusal.issuerKeySha256);
  judgeSerial(refusal.serial);
  judgeNumber('at_ms', refusal.atMs);
  judgeNumber('octets_forwarded', refusal.octetsForwarded);
}

function judgeServed(scope: ReportScope, served: ServedCertificate): void {
  if (!scope.serves.has(served.endpointId)) throw foreign(served.endpointId);
  judgeDigest('issuer_key_sha256', served.issuerKeySha256);
  judgeSerial(served.serial);
  judgeNumber('not_after_ms', served.notAfterMs);
}

function judgeDrill(node: Node, drill: DrillResult): void {
  if (!node.isProbe) throw new Violation('foreign-report', 'drill results');
  if (drill.kind !== POSITIVE_DRILL && !Object.hasOwn(drillReasons, drill.kind))
    throw malformed('kind', JSON.stringify(drill.kind.slice(0, 60)), 'a drill kind');
  for (const name of ['jobId', 'endpointId', 'seen'] as const) {
    if (drill[name].length > MAXIMUM_WORD) throw malformed(name, drill[name].length, `at most ${MAXIMUM_WORD} characters`);
  }
  judgeDigest('first_octets_sha256', drill.firstOctetsSha256);
  judgeSerial(drill.presentedSerial);
  judgeSerial(drill.servedSerial);
  for (const name of ['atMs', 'octetsSent', 'octetsAnswered'] as const) judgeNumber(name, drill[name]);
}

function judgeCaller(caller: string): void {
  try {
    if (caller !== '') parseSpiffeId(caller);
  } catch (error) {
    throw new Problem('input-invalid', `Cannot take report: ${(error as Error).message}`, { cause: error });
  }
}

function judgeEnum(name: string, values: { readonly [name: string]: string | number }, value: number): void {
  if (value === 0 || !Object.values(values).includes(value)) throw malformed(name, value, 'a value that this release knows');
}

/** Empty where nothing was measured. */
function judgeDigest(name: string, digest: Uint8Array): void {
  if (digest.length !== 0 && digest.length !== SHA256_OCTETS) throw malformed(name, digest.length, `${SHA256_OCTETS} octets or none`);
}

function judgeSerial(serial: Uint8Array): void {
  if (serial.length > MAXIMUM_SERIAL) throw malformed('serial', serial.length, `at most ${MAXIMUM_SERIAL} octets`);
}

/** Everything is counted in JavaScript's safe integers further on. */
function judgeNumber(name: string, value: bigint): void {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(name, value, `at most ${Number.MAX_SAFE_INTEGER}`);
}

function malformed(name: string, value: unknown, expectation: string): Problem {
  return new Problem('input-invalid', `Cannot take report: ${name} is ${String(value)}, expected ${expectation}`);
}

function foreign(endpointId: string): Violation {
  return new Violation('foreign-path', JSON.stringify(endpointId.slice(0, 60)));
}

/** A window of a busy gateway has some hundred counts; what is refused here would cost the store seconds. */
const LIMITS = { counts: 10_000, open: 10_000, refusals: 1_000, served: 10_000, drills: 1_000 } as const;
const MAXIMUM_BOOT_ID = 64;
const MAXIMUM_WORD = 200;
const SHA256_OCTETS = 32;
/** RFC 5280 section 4.1.2.2: at most 20 octets; one more for the sign octet of careless issuers. */
const MAXIMUM_SERIAL = 21;
