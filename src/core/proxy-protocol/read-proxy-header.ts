import { ipAddressFromOctets, parseIpAddress } from '../identity/ip-address.ts';
import { crc32c } from './crc32c.ts';
import { type ProxiedEnds, type ProxyHeader, tlvTypes, V1_PREFIX, V2_SIGNATURE } from './proxy-header.ts';

export type ProxyHeaderReading =
  /** `length` octets are the header; what follows is the connection's own. */
  | { readonly kind: 'complete'; readonly header: ProxyHeader; readonly length: number }
  | { readonly kind: 'incomplete' }
  /** It begins with something else. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'malformed'; readonly because: string };

/** Reads a header of the PROXY protocol, version 1 or 2, at the start of a connection. */
export function readProxyHeader(octets: Buffer): ProxyHeaderReading {
  if (startsAs(octets, V2_SIGNATURE)) return octets.length < V2_HEAD ? INCOMPLETE : readV2(octets);
  if (!startsAs(octets, Buffer.from(V1_PREFIX))) return { kind: 'absent' };
  const end = octets.indexOf('\r\n');
  if (end === -1 ? octets.length >= V1_MAX : end + 2 > V1_MAX) return malformed('a line that is too long');
  return end === -1 ? INCOMPLETE : readV1(octets.toString('latin1', 0, end), end + 2);
}

/** True as far as both go. */
function startsAs(octets: Buffer, prefix: Buffer): boolean {
  const length = Math.min(octets.length, prefix.length);
  return octets.subarray(0, length).equals(prefix.subarray(0, length));
}

function readV1(line: string, length: number): ProxyHeaderReading {
  // What an UNKNOWN says beyond the word must be ignored (section 2.1).
  if (line === 'PROXY UNKNOWN' || line.startsWith('PROXY UNKNOWN '))
    return { kind: 'complete', header: { version: 1, ends: null }, length };
  const [, family = '', source = '', destination = '', sourcePort = '', destinationPort = ''] = V1_LINE.exec(line) ?? [];
  const hosts = [source, destination].map((text) => hostOf(family, text));
  const [from, to] = hosts;
  if (typeof from !== 'string' || typeof to !== 'string') return malformed('a line of another form');
  const ports = [sourcePort, destinationPort].map(Number);
  if (ports.some((port) => port > 65_535)) return malformed('a port beyond 65535');
  const ends = { source: { host: from, port: ports[0]! }, destination: { host: to, port: ports[1]! } };
  return { kind: 'complete', header: { version: 1, ends }, length };
}

function readV2(octets: Buffer): ProxyHeaderReading {
  const [version, command] = [octets[12]! >> 4, octets[12]! & 15];
  if (version !== 2 || command > 1) return malformed(`version and command ${octets[12]}`);
  const length = V2_HEAD + octets.readUInt16BE(14);
  if (length > V2_MAX) return malformed(`a header of ${length} octets`);
  if (octets.length < length) return INCOMPLETE;
  const header = octets.subarray(0, length);
  const ends = readAddresses(header);
  if (typeof ends === 'string') return malformed(ends);
  const fault = findTlvFault(header, V2_HEAD + (addressOctets[header[13]!] ?? 0));
  if (fault !== null) return malformed(fault);
  return { kind: 'complete', header: { version: 2, ends: command === LOCAL ? null : ends }, length };
}

/** A text says why not. */
function readAddresses(header: Buffer): ProxiedEnds | null | string {
  const family = header[13]!;
  const needed = addressOctets[family];
  // LOCAL speaks for itself whatever else it says; a family of datagrams cannot have brought a stream.
  if (needed === undefined) return (header[12]! & 15) === LOCAL ? null : `family ${family}`;
  if (header.length < V2_HEAD + needed) return 'addresses cut short';
  if (family !== TCP4 && family !== TCP6) return null;
  const size = family === TCP4 ? 4 : 16;
  const hostAt = (at: number): string => ipAddressFromOctets(header.subarray(at, at + size))!;
  const portAt = V2_HEAD + 2 * size;
  return {
    source: { host: hostAt(V2_HEAD), port: header.readUInt16BE(portAt) },
    destination: { host: hostAt(V2_HEAD + size), port: header.readUInt16BE(portAt + 2) },
  };
}

/** Each TLV must fill its place; a checksum, if there is one, must be right (section 2.2.4). */
function findTlvFault(header: Buffer, from: number): string | null {
  if (addressOctets[header[13]!] === undefined) return null;
  let count = 0;
  let sums = 0;
  for (let at = from; at < header.length; count++) {
    if (count === MAX_TLVS) return 'too many TLVs';
    if (at + 3 > header.length) return 'a TLV cut short';
    const end = at + 3 + header.readUInt16BE(at + 1);
    if (end > header.length) return 'a TLV beyond the header';
    if (header[at] === tlvTypes.crc32c) {
      if (++sums > 1 || end - at !== 7) return 'a checksum of another form';
      const blank = Buffer.from(header).fill(0, at + 3, end);
      if (crc32c(blank) !== header.readUInt32BE(at + 3)) return 'a checksum that is wrong';
    }
    at = end;
  }
  return null;
}

/** The address, if it is one of the family. */
function hostOf(family: string, text: string): string | null {
  try {
    const host = parseIpAddress(text);
    return host.includes(':') === (family === 'TCP6') ? host : null;
  } catch {
    return null;
  }
}

function malformed(because: string): ProxyHeaderReading {
  return { kind: 'malformed', because };
}

const INCOMPLETE = { kind: 'incomplete' } as const;
/** The longest line that the specification has room for, both addresses of IPv6 and its end included. */
const V1_MAX = 107;
const V1_LINE = /^PROXY (TCP4|TCP6) ([0-9a-fA-F.:]{2,39}) ([0-9a-fA-F.:]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})$/;
const V2_HEAD = 16;
/** Signature, addresses and what balancers add of TLS fit in some hundred octets; a certificate's name may be long. */
const V2_MAX = 4_096;
const MAX_TLVS = 32;
const LOCAL = 0;
const TCP4 = 0x11;
const TCP6 = 0x21;
/** Octets of addresses by family and protocol: unspecified, TCP over IPv4, over IPv6, stream of a Unix socket. */
const addressOctets: { readonly [family: number]: number } = { 0x00: 0, [TCP4]: 12, [TCP6]: 36, 0x31: 216 };
