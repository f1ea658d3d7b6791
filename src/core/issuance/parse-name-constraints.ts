import { parseDnsName } from '../identity/dns-name.ts';
import { Problem } from '../problems/problem.ts';
import type { NameBase, NameConstraints } from '../x509/name-constraints.ts';
import { maskOctet, parseAddressRange } from './permitted-names.ts';

/**
 * Reads the subtrees of an authority (RFC 5280 section 4.2.1.10): `dns:acme.example` with all below it, `ip:10.0.0.0/8`, `uri:acme.example`
 * (that host alone) or `uri:.acme.example` (all below it). Null: none are given.
 * @throws input-invalid
 */
export function parseNameConstraints(permitted: readonly string[], excluded: readonly string[]): NameConstraints | null {
  if (permitted.length + excluded.length === 0) return null;
  if (permitted.length + excluded.length > MAXIMUM_SUBTREES) throw invalid(`${permitted.length + excluded.length} subtrees`);
  return { permitted: permitted.map(parseSubtree), excluded: excluded.map(parseSubtree) };
}

function parseSubtree(text: string): NameBase {
  const [, kind, value] = /^(dns|ip|uri):(.+)$/.exec(text) ?? [];
  if (kind === undefined || value === undefined) throw invalid(text);
  try {
    if (kind === 'dns') return { kind, name: parseDnsName(value) };
    if (kind === 'uri') return { kind, host: value.startsWith('.') ? `.${parseDnsName(value.slice(1))}` : parseDnsName(value) };
    const { octets, bits } = parseAddressRange(value);
    return { kind: 'ip', address: octets, mask: octets.map((_, place) => maskOctet(bits, place)) };
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    throw invalid(text, cause);
  }
}

function invalid(text: string, cause?: Problem): Problem {
  const expected = 'dns:NAME, ip:ADDRESS/LENGTH or uri:HOST';
  return new Problem('input-invalid', `Cannot read name constraint: ${text.slice(0, 100)}, expected ${expected}`, { cause });
}

/** Each is compared with each name of every certificate below, by everybody who validates one. */
const MAXIMUM_SUBTREES = 100;
