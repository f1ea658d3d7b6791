import {
  type Inbound,
  Protocol,
  ProxyProtocol as WireProxyProtocol,
  Termination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type AddressRanges, addressRanges, findBadRange } from './address-ranges.ts';

/** What a port knows of the balancers before it. */
export type ProxyProtocolSettings = {
  /** Whether whoever connects from this address speaks for somebody else; null: nobody does, and nobody is asked. */
  readonly speaksFor: AddressRanges | null;
  /** What the upstream is told first on each connection. */
  readonly send: 'v1' | 'v2' | null;
  /** Equal for equal settings. */
  readonly key: string;
};

/** @throws input-invalid for a range that is none, and for headers on connections that calls share */
export function parseProxyProtocol({
  endpointName,
  proxyProtocolFrom,
  proxyProtocolTo,
  protocol,
  termination,
}: Inbound): ProxyProtocolSettings {
  const send = words[proxyProtocolTo];
  if (send === undefined) throw invalid(endpointName, `PROXY protocol ${proxyProtocolTo}`, 'version 1 or 2');
  const isStream = protocol === Protocol.TCP || termination === Termination.PASSTHROUGH || termination === Termination.MUTUAL;
  if (send !== null && (!isStream || termination === Termination.REENCRYPT)) {
    throw invalid(endpointName, 'a PROXY protocol header on connections that calls share', 'one of tcp or of what passes through');
  }
  return { speaksFor: parseRanges(endpointName, proxyProtocolFrom), send, key: JSON.stringify([proxyProtocolFrom, send]) };
}

function parseRanges(endpointName: string, ranges: readonly string[]): AddressRanges | null {
  if (ranges.length === 0) return null;
  if (ranges.length > MAXIMUM_RANGES) throw invalid(endpointName, `${ranges.length} ranges`, `at most ${MAXIMUM_RANGES}`);
  const bad = findBadRange(ranges);
  if (bad !== null) throw invalid(endpointName, `range ${JSON.stringify(bad.slice(0, 60))}`, 'an address, / and its bits');
  return addressRanges(ranges);
}

function invalid(endpointName: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use inbound ${JSON.stringify(endpointName)}: ${found}, expected ${expected}`);
}

const words: { readonly [wire: number]: 'v1' | 'v2' | null } = {
  [WireProxyProtocol.UNSPECIFIED]: null,
  [WireProxyProtocol.V1]: 'v1',
  [WireProxyProtocol.V2]: 'v2',
};
const MAXIMUM_RANGES = 100;
