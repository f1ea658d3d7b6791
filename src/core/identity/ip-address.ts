import { Problem } from '../problems/problem.ts';

/** An IPv4 address in dotted decimal, or an IPv6 address in the one spelling of RFC 5952, without a zone. */
export type IpAddress = string & { readonly brand: 'IpAddress' };

/** @throws identity-malformed */
export function parseIpAddress(text: string): IpAddress {
  const octets = text.length <= MAX_CHARACTERS ? (parseIpv4(text) ?? parseIpv6(text)) : null;
  if (!octets) {
    throw new Problem('identity-malformed', `Cannot parse IP address: ${JSON.stringify(text.slice(0, 300))}, expected IPv4 or IPv6`);
  }
  return formatIpAddress(Uint8Array.from(octets));
}

/** The address of 4 or 16 octets in network order, or null for any other length. */
export function ipAddressFromOctets(octets: Uint8Array): IpAddress | null {
  return octets.length === 4 || octets.length === 16 ? formatIpAddress(octets) : null;
}

/** The 4 or 16 octets in network order, as certificates carry them (RFC 5280 section 4.2.1.6). */
export function ipAddressOctets(address: IpAddress): Uint8Array {
  return Uint8Array.from((parseIpv4(address) ?? parseIpv6(address))!);
}

function parseIpv4(text: string): number[] | null {
  const parts = text.split('.');
  // A leading zero is octal to some readers and decimal to others (CVE-2021-29921).
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256)) return null;
  return parts.map(Number);
}

function parseIpv6(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2 || !text.includes(':')) return null;
  const groups = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  const [head, tail] = groups;
  if (!head || tail === null) return null;
  const present = head.length + (tail?.length ?? 0);
  if (tail === undefined) return present === 16 ? head : null;
  return present <= 14 ? [...head, ...Array.from({ length: 16 - present }, () => 0), ...tail] : null;
}

/** Groups of hexadecimal digits; the last may be an IPv4 address (RFC 4291 section 2.2). */
function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const octets: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    const embedded = last && index === groups.length - 1 ? parseIpv4(group) : null;
    if (embedded) octets.push(...embedded);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) octets.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
    else return null;
  }
  return octets;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatIpAddress(octets: Uint8Array): IpAddress {
  if (octets.length === 4) return octets.join('.') as IpAddress;
  const groups = Array.from({ length: 8 }, (_, i) => (octets[2 * i]! << 8) | octets[2 * i + 1]!);
  if (octets.subarray(0, 10).every((octet) => octet === 0) && groups[5] === 0xffff) {
    return `::ffff:${octets.subarray(12).join('.')}` as IpAddress;
  }
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  return (start < 0 ? hexGroups(groups) : `${hexGroups(groups.slice(0, start))}::${hexGroups(groups.slice(start + length))}`) as IpAddress;
}

function hexGroups(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':');
}

const MAX_CHARACTERS = 45;
