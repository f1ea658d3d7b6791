import { PROBE_PATH } from '../findings/drill-kind.ts';
import { ipAddressOctets, parseIpAddress } from '../identity/ip-address.ts';
import { type CallPattern, segmentsOf } from '../routes/call-pattern.ts';
import { PatternIndex } from '../routes/pattern-index.ts';

/** True if the pattern names calls: with methods, below a first segment that is written out, and not the path that drills ask for. */
export function isNamedCall(pattern: CallPattern): boolean {
  const { methods, path } = pattern;
  const [first] = segmentsOf(path.replace(/\/\*\*$/, ''));
  if (methods.length === 0 || path === '/**' || first === '*') return false;
  // Whoever could ask for this without a certificate would be drilled as one that is let in.
  const anyhow = { pattern: { methods: [], host: '', path } };
  return new PatternIndex([anyhow]).find({ method: 'GET', host: '', target: PROBE_PATH }).kind === 'none';
}

/** True if the range (`10.0.0.0/16`) is no wider than that of one cluster's nodes. @throws identity-malformed */
export function isNarrowRange(range: string): boolean {
  const [network = '', bits = ''] = range.split('/');
  const octets = ipAddressOctets(parseIpAddress(network));
  if (octets.length === 4) return Number(bits) >= WIDEST_IPV4_BITS;
  // IPv4 addresses are found in these ranges, too, written as ::ffff:10.0.0.1 (RFC 4291 section 2.5.5.2).
  const holdsIpv4 = octets.subarray(0, 10).every((octet) => octet === 0);
  return Number(bits) >= (holdsIpv4 ? MAPPED_BITS + WIDEST_IPV4_BITS : WIDEST_IPV6_BITS);
}

/** 65,536 addresses: whoever needs more names the ranges in which its callers really are. */
export const WIDEST_IPV4_BITS = 16;
/** What one site is given (RFC 6177). */
export const WIDEST_IPV6_BITS = 48;
const MAPPED_BITS = 96;
export const MAXIMUM_EXCEPTION_SOURCES = 32;
export const MAXIMUM_EXCEPTION_CALLS = 32;
/** Of one endpoint: each is looked through for each call that proves nothing. */
export const MAXIMUM_ENDPOINT_EXCEPTIONS = 32;
