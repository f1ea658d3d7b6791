import { type IpAddress, ipAddressOctets, parseIpAddress } from '../identity/ip-address.ts';
import { parseDnsName } from '../identity/dns-name.ts';
import { Problem } from '../problems/problem.ts';
import type { SubjectAltNames } from '../x509/general-name.ts';

/** The names of a profile, made ready to be looked up: what a name costs does not grow with their number. */
export type PermittedNames = {
  /** Null: any. */
  readonly dns: { readonly exact: ReadonlySet<string>; readonly child: ReadonlySet<string>; readonly below: ReadonlySet<string> } | null;
  readonly ip: readonly { readonly octets: Uint8Array; readonly bits: number }[] | null;
  /** Last segments of SPIFFE IDs. */
  readonly services: ReadonlySet<string> | null;
  readonly wildcards: boolean;
};

/** As they are declared. `api.example`: that name; `*.example`: one label below it; `**.example`: any number. Addresses and ranges such as `10.0.0.0/8`. */
export type NamesSpec = {
  readonly dns: readonly string[] | null;
  readonly ip: readonly string[] | null;
  readonly services: readonly string[] | null;
  /** Whether a certificate may carry a wildcard, where its name is permitted. */
  readonly wildcards: boolean;
};

/** @throws dns-name-invalid, ip-address-invalid or input-invalid for a pattern that means nothing */
export function compileNames({ dns, ip, services, wildcards }: NamesSpec): PermittedNames {
  return {
    dns: dns && compileDns(dns),
    ip: ip && ip.map(parseAddressRange),
    services: services && new Set(services),
    wildcards,
  };
}

/** The first name that is not permitted, as a sentence each, at most ten. */
export function namesOutside(permitted: PermittedNames, { dns, ip, uri }: SubjectAltNames): readonly string[] {
  const outside = [
    ...dns
      .filter((name) => !permitted.wildcards && name.startsWith('*.'))
      .map((name) => `${name} is a wildcard, which the profile refuses`),
    ...dns
      .filter((name) => permitted.dns !== null && !hasDns(permitted.dns, name))
      .map((name) => `${name} is not permitted by the profile`),
    ...ip
      .filter((address) => permitted.ip !== null && !permitted.ip.some((range) => isInRange(address, range)))
      .map((address) => `${address} is not permitted by the profile`),
    ...uri
      .filter((id) => permitted.services !== null && !permitted.services.has(id.split('/').slice(4).join('/')))
      .map((id) => `${id} is not permitted by the profile`),
  ];
  return outside.slice(0, MAX_TOLD);
}

/** An address alone is a range of one. The octets after the prefix must be zero: anything else is somebody's mistake. @throws input-invalid */
export function parseAddressRange(text: string): { readonly octets: Uint8Array; readonly bits: number } {
  const slash = text.indexOf('/');
  const octets = ipAddressOctets(parseIpAddress(slash < 0 ? text : text.slice(0, slash)));
  const length = slash < 0 ? String(octets.length * 8) : text.slice(slash + 1);
  const bits = /^(0|[1-9][0-9]{0,2})$/.test(length) ? Number(length) : Number.NaN;
  const isPrefix = bits <= octets.length * 8 && octets.every((octet, i) => (octet & ~maskOctet(bits, i) & 0xff) === 0);
  if (!isPrefix) throw new Problem('input-invalid', `Cannot read range: ${text.slice(0, 60)}, expected an address and a prefix length`);
  return { octets, bits };
}

/** Of a prefix of so many bits, the octet at this place of its mask. */
export function maskOctet(bits: number, place: number): number {
  const left = Math.min(8, Math.max(0, bits - place * 8));
  return (0xff << (8 - left)) & 0xff;
}

function compileDns(patterns: readonly string[]): NonNullable<PermittedNames['dns']> {
  const sets = { exact: new Set<string>(), child: new Set<string>(), below: new Set<string>() };
  for (const pattern of patterns) {
    if (pattern.startsWith('**.')) sets.below.add(parseDnsName(pattern.slice(3)));
    else if (pattern.startsWith('*.')) sets.child.add(parseDnsName(pattern.slice(2)));
    else sets.exact.add(parseDnsName(pattern));
  }
  return sets;
}

/** A wildcard stands for every label in its place, so it is judged as one label below its parent. */
function hasDns({ exact, child, below }: NonNullable<PermittedNames['dns']>, name: string): boolean {
  if (exact.has(name)) return true;
  let parent = name.indexOf('.') < 0 ? '' : name.slice(name.indexOf('.') + 1);
  if (child.has(parent)) return true;
  while (parent !== '') {
    if (below.has(parent)) return true;
    parent = parent.indexOf('.') < 0 ? '' : parent.slice(parent.indexOf('.') + 1);
  }
  return false;
}

function isInRange(address: IpAddress, { octets, bits }: { readonly octets: Uint8Array; readonly bits: number }): boolean {
  const own = ipAddressOctets(address);
  return own.length === octets.length && own.every((octet, i) => (octet & maskOctet(bits, i)) === octets[i]);
}

const MAX_TOLD = 10;
