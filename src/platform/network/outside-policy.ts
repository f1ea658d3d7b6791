import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Problem } from '../../core/problems/problem.ts';
import { parseAddressPolicy } from './address-policy.ts';
import type { HostPort } from './host-port.ts';

/** To which address and port this installation may connect because a stranger named them. */
export type OutsidePolicy = { readonly permits: (ip: string, port: number) => boolean };

/**
 * Ranges as `10.0.0.0/8`, for every port, or `127.0.0.0/8:5002`, for that one. Link-local and other addresses of cloud metadata and our own listeners stay refused
 * whatever the ranges say. @throws input-invalid
 */
export function parseOutsidePolicy(ranges: readonly string[], ownListeners: () => readonly HostPort[]): OutsidePolicy {
  if (ranges.length > MAXIMUM_RANGES)
    throw new Problem('input-invalid', `Cannot parse ranges: ${ranges.length}, expected at most ${MAXIMUM_RANGES}`);
  const rules = ranges.map(parseRange);
  return {
    permits: (ip, port) =>
      rules.some((rule) => (rule.port === null || rule.port === port) && rule.policy.permits(ip)) &&
      !ownListeners().some((own) => own.port === port && meets(own.host, ip)),
  };
}

function parseRange(range: string) {
  const match = /^(.+\/\d{1,3})(?::(\d{1,5}))?$/.exec(range);
  const port = match?.[2] === undefined ? null : Number(match[2]);
  if (match === null || (port !== null && (port < 1 || port > 65_535))) {
    throw new Problem('input-invalid', `Cannot parse range: ${JSON.stringify(range.slice(0, 100))}, expected CIDR or CIDR:PORT`);
  }
  return { policy: parseAddressPolicy([match[1]!]), port };
}

/** True if a connection to the address would reach what listens on this host. */
function meets(host: string, ip: string): boolean {
  const plain = unmapped(ip);
  if (host !== '0.0.0.0' && host !== '::') return unmapped(host) === plain;
  // Every address of 127.0.0.0/8 is this machine.
  if (plain.startsWith('127.') || plain === '::1') return true;
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === plain) === true);
}

/** An IPv4 address written as IPv6 (RFC 4291 section 2.5.5.2) is the same host. */
function unmapped(ip: string): string {
  const tail = ip.toLowerCase().replace(/^::ffff:/, '');
  return isIPv4(tail) ? tail : ip.toLowerCase();
}

const MAXIMUM_RANGES = 1_000;
