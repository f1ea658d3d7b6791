import { type Instant, SECOND_MS } from '../time/instant.ts';

/** What the prober remembers of one of its connections. */
export type DrilledConnection = {
  readonly endpointId: string;
  /** When it was over, by the prober's clock. */
  readonly at: Instant;
  /** SHA-256 of its first octets, lower case hex, or empty. */
  readonly firstOctetsSha256: string;
  /** `IP:PORT` of the prober's end, or empty. */
  readonly localAddress: string;
  /** Lower case hex; empty where no certificate was shown. */
  readonly presentedSerial: string;
};

/** What a proxy says of a connection that it refused. */
export type LoggedRefusal = {
  readonly endpointId: string;
  /** By the proxy's clock. */
  readonly at: Instant;
  /** Empty where the proxy is told no octets, as of an Envoy. */
  readonly firstOctetsSha256: string;
  /** `IP:PORT`, only where there are no octets; else empty. */
  readonly remoteAddress: string;
  /** Of the certificate that was shown; empty if none was seen. */
  readonly serial: string;
};

/**
 * The refusal of this very connection, or null. By its first octets, which nobody can guess; a proxy that is not told these names the
 * address that the connection came from, and that counts only about the same time and if it saw no other certificate than was shown.
 */
export function findSighting<Refusal extends LoggedRefusal>(drilled: DrilledConnection, refusals: readonly Refusal[]): Refusal | null {
  const own = refusals.filter(({ endpointId }) => endpointId === drilled.endpointId);
  const byOctets = own.find(({ firstOctetsSha256 }) => firstOctetsSha256 !== '' && firstOctetsSha256 === drilled.firstOctetsSha256);
  return byOctets ?? nearestFromSameEnd(drilled, own);
}

/** Of several the one that saw the very certificate, then the nearest in time: a port may have served another connection shortly before. */
function nearestFromSameEnd<Refusal extends LoggedRefusal>(drilled: DrilledConnection, own: readonly Refusal[]): Refusal | null {
  const candidates = own.filter((refusal) => isFromSameEnd(drilled, refusal));
  const seen = candidates.filter(({ serial }) => serial !== '');
  const distance = ({ at }: LoggedRefusal): number => Math.abs(at - drilled.at);
  return (seen.length > 0 ? seen : candidates).toSorted((a, b) => distance(a) - distance(b))[0] ?? null;
}

function isFromSameEnd({ localAddress, at, presentedSerial }: DrilledConnection, refusal: LoggedRefusal): boolean {
  if (refusal.firstOctetsSha256 !== '' || localAddress === '' || refusal.remoteAddress !== localAddress) return false;
  return Math.abs(refusal.at - at) <= SAME_TIME_MS && (refusal.serial === '' || refusal.serial === presentedSerial);
}

/** A shot lasts up to 5 s, and two clocks differ; a port number comes back to the same source much later than that (RFC 6056 section 3). */
const SAME_TIME_MS = 15 * SECOND_MS;
