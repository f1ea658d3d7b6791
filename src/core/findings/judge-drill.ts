import type { RefusalReason } from '../tls/refusal-reason.ts';
import { drillReasons, type DrillRunKind, POSITIVE_DRILL } from './drill-kind.ts';

/** What the prober saw of one connection, and what the proxy logged of the same one (null: it logged no refusal). */
export type DrillEvidence = {
  readonly kind: DrillRunKind;
  readonly octetsSent: number;
  /** Octets of application data that came back to the prober. */
  readonly octetsAnswered: number;
  readonly seen: string;
  readonly resumed: boolean;
  /** A session of an earlier handshake was offered, whether it was taken or not. */
  readonly offeredSession: boolean;
  /** Serial that the endpoint served in this handshake, lower case hex, or null. */
  readonly servedSerial: string | null;
  readonly sighting: {
    readonly reason: RefusalReason;
    readonly octetsForwarded: number;
    /** `address`: by a proxy that is told no octets (findSighting). */
    readonly knownBy: 'octets' | 'address';
  } | null;
};

/** `proven`: refused as it must be, or passed as it must. `waiting`: the proxy's word on this connection is still out. */
export type DrillVerdict =
  | { readonly kind: 'proven' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'failed'; readonly because: string };

/**
 * A drill is refused only when its octets left the prober, nothing came back, and the proxy logged this very connection
 * with the reason that the drill expects and no octet forwarded. The positive handshake passes only when the proxy answered
 * and served one of the serials that are current for it. An Envoy takes no session of a revoked client up: it shakes hands anew and refuses
 * then, so of it a session that was offered is examined, too.
 */
export function judgeDrill(evidence: DrillEvidence, currentSerials: ReadonlySet<string>): DrillVerdict {
  return evidence.kind === POSITIVE_DRILL ? judgePositive(evidence, currentSerials) : judgeNegative(evidence, drillReasons[evidence.kind]);
}

function judgePositive({ seen, octetsAnswered, servedSerial }: DrillEvidence, currentSerials: ReadonlySet<string>): DrillVerdict {
  if (seen !== 'answered' || octetsAnswered === 0) return { kind: 'failed', because: `the good handshake was not answered (${seen})` };
  if (servedSerial === null || !currentSerials.has(servedSerial)) {
    return { kind: 'failed', because: `the endpoint serves serial ${servedSerial ?? 'none'}, which is not the newest issued` };
  }
  return { kind: 'proven' };
}

function judgeNegative(evidence: DrillEvidence, expected: RefusalReason): DrillVerdict {
  if (evidence.octetsAnswered > 0) return { kind: 'failed', because: `the endpoint answered ${evidence.octetsAnswered} octets` };
  if (evidence.octetsSent < FINGERPRINT_OCTETS) return { kind: 'failed', because: `only ${evidence.octetsSent} octets left the prober` };
  if (evidence.kind === 'revoked-then-resumed' && !evidence.resumed && !evidence.offeredSession) {
    return { kind: 'failed', because: 'no session was offered, so resumption was not examined' };
  }
  if (evidence.sighting === null) return { kind: 'waiting' };
  if (evidence.kind === 'revoked-then-resumed' && !evidence.resumed && evidence.sighting.knownBy === 'octets') {
    return { kind: 'failed', because: 'the session was not resumed, so resumption was not examined' };
  }
  const { reason, octetsForwarded } = evidence.sighting;
  if (octetsForwarded > 0) return { kind: 'failed', because: `the service received ${octetsForwarded} octets` };
  if (reason !== expected) return { kind: 'failed', because: `the proxy logged ${reason}, expected ${expected}` };
  return { kind: 'proven' };
}

/** Fewer octets than the fingerprint covers cannot be told apart from another connection's. */
const FINGERPRINT_OCTETS = 64;
