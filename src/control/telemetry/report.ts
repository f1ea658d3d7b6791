import type { EntityId } from '../../core/ids/entity-id.ts';
import { isEntityId } from '../../core/ids/entity-id.ts';
import { type DrillRunKind, drillReasons, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import {
  Channel as WireChannel,
  Outcome as WireOutcome,
  Side as WireSide,
  type TelemetryReport,
  Unit as WireUnit,
} from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { isRefusalReason, type RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Channel, Unit } from '../../core/rollout/rollout-facts.ts';

export type Side = 'caller' | 'receiver';
export type Outcome = 'accepted' | 'would-refuse' | 'excepted' | 'refused' | 'failed';

/** A report in our own words. What was not of the closed sets, or too much, has been left out and counted in `dropped`. */
export type ParsedReport = {
  readonly bootId: string;
  readonly sequence: number;
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly generation: number;
  readonly revokedSequence: number;
  readonly refusalsDropped: number;
  readonly counts: readonly ParsedCount[];
  readonly open: readonly ParsedOpen[];
  readonly refusals: readonly ParsedRefusal[];
  readonly served: readonly ParsedServed[];
  readonly drills: readonly ParsedDrill[];
  readonly dropped: number;
};

/** `passthrough`: carried on without a look inside. It says nothing about a path, so no gate reads it. */
export type CountedChannel = Channel | 'passthrough';

export type ParsedCount = {
  readonly side: Side;
  readonly endpointId: EntityId<'endpoint'>;
  /** A SPIFFE ID, or empty where nothing was proved. */
  readonly caller: string;
  readonly generation: number;
  readonly channel: CountedChannel;
  readonly unit: Unit;
  readonly outcome: Outcome;
  readonly reason: RefusalReason | '';
  /** Name of the exception of what is excepted, else empty. */
  readonly exception: string;
  readonly count: number;
};
export type ParsedOpen = Pick<ParsedCount, 'side' | 'endpointId' | 'caller' | 'channel' | 'count'>;
export type ParsedRefusal = {
  readonly endpointId: EntityId<'endpoint'>;
  readonly at: number;
  readonly firstOctetsSha256: string;
  readonly reason: RefusalReason;
  readonly caller: string;
  readonly issuerKeySha256: string;
  readonly serial: string;
  readonly resumed: boolean;
  readonly octetsForwarded: number;
  /** `IP:PORT`, only of a connection of which no octets were told; else empty. */
  readonly remoteAddress: string;
};
export type ParsedServed = {
  readonly endpointId: EntityId<'endpoint'>;
  readonly issuerKeySha256: string;
  readonly serial: string;
  readonly notAfter: number;
};
export type ParsedDrill = {
  readonly jobId: string;
  readonly endpointId: EntityId<'endpoint'>;
  readonly kind: DrillRunKind;
  readonly at: number;
  readonly firstOctetsSha256: string;
  readonly octetsSent: number;
  readonly octetsAnswered: number;
  readonly seen: string;
  readonly presentedSerial: string;
  readonly servedSerial: string;
  readonly resumed: boolean;
  /** `IP:PORT` of the prober, or empty. */
  readonly localAddress: string;
  readonly offeredSession: boolean;
};

/** @throws input-invalid when the report cannot be counted once: no boot id, no sequence. */
export function parseReport(report: TelemetryReport): ParsedReport {
  const sequence = toCount(report.sequence);
  if (report.bootId.length === 0 || report.bootId.length > MAX_BOOT_ID || sequence === null || sequence < 1) {
    throw new Problem(
      'input-invalid',
      `Cannot read telemetry report: sequence ${report.sequence}, expected a boot id of 1 to ${MAX_BOOT_ID} characters and a sequence from 1`,
    );
  }
  const counts = parseList(report.counts, MAX_COUNTS, parseCount);
  const open = parseList(report.open, MAX_COUNTS, parseOpen);
  const refusals = parseList(report.refusals, MAX_REFUSALS, parseRefusal);
  const served = parseList(report.served, MAX_SERVED, parseServed);
  const drills = parseList(report.drills, MAX_DRILLS, parseDrill);
  return {
    bootId: report.bootId,
    sequence,
    windowStart: toCount(report.windowStartMs) ?? 0,
    windowEnd: toCount(report.windowEndMs) ?? 0,
    generation: toCount(report.generation) ?? 0,
    revokedSequence: toCount(report.revokedSequence) ?? 0,
    refusalsDropped: toCount(report.refusalsDropped) ?? 0,
    counts: counts.kept,
    open: open.kept,
    refusals: refusals.kept,
    served: served.kept,
    drills: drills.kept,
    dropped: counts.dropped + open.dropped + refusals.dropped + served.dropped + drills.dropped,
  };
}

function parseList<Wire, Parsed>(
  items: readonly Wire[],
  limit: number,
  parse: (item: Wire) => Parsed | null,
): { readonly kept: readonly Parsed[]; readonly dropped: number } {
  const kept = items.slice(0, limit).flatMap((item) => parse(item) ?? []);
  return { kept, dropped: items.length - kept.length };
}

function parseOpen(wire: TelemetryReport['open'][number]): ParsedOpen | null {
  const side = sides[wire.side];
  const channel = channels[wire.channel];
  const caller = toCaller(wire.caller);
  if (side === undefined || channel === undefined || caller === null || !isEntityId('endpoint', wire.endpointId)) return null;
  return { side, endpointId: wire.endpointId, caller, channel, count: wire.count };
}

function parseCount(wire: TelemetryReport['counts'][number]): ParsedCount | null {
  const open = parseOpen({ ...wire, $typeName: 'countersign.v1.OpenConnections', count: 0 });
  const unit = units[wire.unit];
  const outcome = outcomes[wire.outcome];
  const count = toCount(wire.count);
  const generation = toCount(wire.generation);
  const reason = wire.reason === '' || isRefusalReason(wire.reason) ? wire.reason : null;
  if (
    open === null ||
    unit === undefined ||
    outcome === undefined ||
    count === null ||
    count === 0 ||
    generation === null ||
    reason === null
  ) {
    return null;
  }
  if (outcome === 'excepted') {
    // Only nobody can be excepted: whoever is proved would count as proved.
    const isAnonymous = open.side === 'receiver' && open.caller === '' && (open.channel === 'plaintext' || open.channel === 'tls');
    return isAnonymous && EXCEPTION_NAME.test(wire.exception)
      ? { ...open, generation, unit, outcome, reason: '', exception: wire.exception, count }
      : null;
  }
  if (outcome !== 'accepted' && reason === '') return null;
  return { ...open, generation, unit, outcome, reason: outcome === 'accepted' ? '' : reason, exception: '', count };
}

function parseRefusal(wire: TelemetryReport['refusals'][number]): ParsedRefusal | null {
  const caller = toCaller(wire.caller);
  if (caller === null || !isEntityId('endpoint', wire.endpointId) || !isRefusalReason(wire.reason)) return null;
  if (wire.firstOctetsSha256.length > SHA256_OCTETS || wire.issuerKeySha256.length > SHA256_OCTETS) return null;
  if (wire.serial.length > MAX_SERIAL_OCTETS) return null;
  return {
    endpointId: wire.endpointId,
    at: toCount(wire.atMs) ?? 0,
    firstOctetsSha256: toHex(wire.firstOctetsSha256),
    reason: wire.reason,
    caller,
    issuerKeySha256: toHex(wire.issuerKeySha256),
    serial: toHex(wire.serial),
    resumed: wire.resumed,
    octetsForwarded: toCount(wire.octetsForwarded) ?? Number.MAX_SAFE_INTEGER,
    // Who tells octets is held to them.
    remoteAddress: wire.firstOctetsSha256.length === 0 ? toAddress(wire.remoteAddress) : '',
  };
}

function parseServed(wire: TelemetryReport['served'][number]): ParsedServed | null {
  const notAfter = toCount(wire.notAfterMs);
  if (notAfter === null || !isEntityId('endpoint', wire.endpointId)) return null;
  if (wire.issuerKeySha256.length !== SHA256_OCTETS || wire.serial.length === 0 || wire.serial.length > MAX_SERIAL_OCTETS) return null;
  return { endpointId: wire.endpointId, issuerKeySha256: toHex(wire.issuerKeySha256), serial: toHex(wire.serial), notAfter };
}

function parseDrill(wire: TelemetryReport['drills'][number]): ParsedDrill | null {
  const at = toCount(wire.atMs);
  if (at === null || wire.jobId.length > MAX_BOOT_ID || !isEntityId('endpoint', wire.endpointId) || !isDrillKind(wire.kind)) return null;
  if (wire.firstOctetsSha256.length > SHA256_OCTETS || wire.presentedSerial.length > MAX_SERIAL_OCTETS) return null;
  if (wire.servedSerial.length > MAX_SERIAL_OCTETS) return null;
  return {
    jobId: wire.jobId,
    endpointId: wire.endpointId,
    kind: wire.kind,
    at,
    firstOctetsSha256: toHex(wire.firstOctetsSha256),
    octetsSent: toCount(wire.octetsSent) ?? 0,
    // Beyond counting is not none.
    octetsAnswered: toCount(wire.octetsAnswered) ?? Number.MAX_SAFE_INTEGER,
    seen: wire.seen.slice(0, MAX_SEEN),
    presentedSerial: toHex(wire.presentedSerial),
    servedSerial: toHex(wire.servedSerial),
    resumed: wire.resumed,
    localAddress: toAddress(wire.localAddress),
    offeredSession: wire.offeredSession,
  };
}

/** Only what can be the end of a TCP connection is compared. */
function toAddress(text: string): string {
  return ADDRESS.test(text) ? text : '';
}

function toCaller(text: string): string | null {
  if (text === '') return '';
  try {
    return parseSpiffeId(text);
  } catch {
    return null;
  }
}

function isDrillKind(word: string): word is DrillRunKind {
  return word === POSITIVE_DRILL || Object.hasOwn(drillReasons, word);
}

function toCount(value: bigint): number | null {
  return value >= 0n && value <= MAX_COUNT ? Number(value) : null;
}

function toHex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('hex');
}

// Open enums: a number that we do not know has no word and is dropped.
const sides: Words<Side> = { [WireSide.CALLER]: 'caller', [WireSide.RECEIVER]: 'receiver' };
const channels: Words<CountedChannel> = {
  [WireChannel.PLAINTEXT]: 'plaintext',
  [WireChannel.TLS]: 'tls',
  [WireChannel.MTLS]: 'mtls',
  [WireChannel.PASSTHROUGH]: 'passthrough',
};
const units: Words<Unit> = { [WireUnit.CONNECTION]: 'connection', [WireUnit.CALL]: 'call' };
const outcomes: Words<Outcome> = {
  [WireOutcome.ACCEPTED]: 'accepted',
  [WireOutcome.WOULD_REFUSE]: 'would-refuse',
  [WireOutcome.REFUSED]: 'refused',
  [WireOutcome.FAILED]: 'failed',
  [WireOutcome.EXCEPTED]: 'excepted',
};
type Words<Word> = { readonly [wire: number]: Word };

/** 10^14: about 3000 years in milliseconds; sums of many stay exact. */
const MAX_COUNT = 100_000_000_000_000n;
/** As inventory has names. */
const EXCEPTION_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** IPv4, or IPv6 in brackets, with a port. */
const ADDRESS = /^(?:[0-9.]{7,15}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}$/;
const MAX_BOOT_ID = 100;
const MAX_SEEN = 100;
const SHA256_OCTETS = 32;
/** RFC 5280 section 4.1.2.2: at most 20 octets, and a sign octet. */
const MAX_SERIAL_OCTETS = 21;
/** One report is of one interval of one proxy. */
const MAX_COUNTS = 5_000;
const MAX_REFUSALS = 500;
const MAX_SERVED = 1_000;
const MAX_DRILLS = 200;
