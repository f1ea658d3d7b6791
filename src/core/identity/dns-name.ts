import { Problem } from '../problems/problem.ts';

/** A host name as certificates carry it: A-labels, lower case, no trailing dot, at most 253 octets (RFC 1034, RFC 9525 section 6.3). */
export type DnsName = string & { readonly brand: 'DnsName' };

/** Lower-cases; refuses empty labels, underscores, wildcards, U-labels and what reads as an IPv4 address. @throws identity-malformed */
export function parseDnsName(text: string): DnsName {
  const name = text.length <= MAX_OCTETS ? text.toLowerCase() : '';
  if (!NAME.test(name)) {
    throw new Problem(
      'identity-malformed',
      `Cannot parse DNS name: ${JSON.stringify(text.slice(0, 300))}, expected letters, digits, hyphens and dots`,
    );
  }
  return name as DnsName;
}

/** A DNS name, or one behind `*.` as its whole leftmost label with at least two labels to follow. @throws identity-malformed */
export function parseDnsPattern(text: string): DnsName | `*.${DnsName}` {
  if (!text.startsWith('*.')) return parseDnsName(text);
  const base = parseDnsName(text.slice(2));
  if (!base.includes('.')) {
    throw new Problem(
      'identity-malformed',
      `Cannot parse DNS name: ${JSON.stringify(text.slice(0, 300))}, expected two labels after the wildcard`,
    );
  }
  return `*.${base}`;
}

/**
 * RFC 9525 section 6.3: whole labels without regard to case; a wildcard is the entire leftmost label of the presented name and
 * stands for exactly one label. What is no well-formed pattern matches nothing.
 */
export function matchesDnsName(presented: string, reference: DnsName): boolean {
  const pattern = presented.toLowerCase();
  if (!pattern.startsWith('*.')) return pattern === reference && NAME.test(pattern);
  const base = pattern.slice(2);
  const dot = reference.indexOf('.');
  return base.includes('.') && NAME.test(base) && dot > 0 && reference.slice(dot + 1) === base;
}

const MAX_OCTETS = 253;
/** Labels of 1 to 63 octets, no hyphen at either end; the last one is not all digits, or it could be an address (RFC 1123 section 2.1). */
const NAME = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?![0-9]+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
