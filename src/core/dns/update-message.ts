import { encodeDomainName } from './domain-name.ts';

/** One TXT record that is to be there, or to be there no longer. */
export type TxtUpdate = {
  readonly action: 'present' | 'remove';
  readonly zone: string;
  readonly name: string;
  /** At most 255 octets of ASCII. */
  readonly value: string;
  readonly ttlSeconds: number;
};

/**
 * An UPDATE message (RFC 2136 section 2) that adds the record to its set (section 2.5.1) or takes exactly it out (section 2.5.4): what others have under
 * the name stays. To add what is there, and to remove what is not, are no errors. @throws identity-malformed
 */
export function buildTxtUpdate(id: number, { action, zone, name, value, ttlSeconds }: TxtUpdate): Buffer {
  const text = Buffer.from(value, 'ascii');
  const header = uint16(id, UPDATE << 11, 1, 0, 1, 0);
  const zoneSection = [encodeDomainName(zone), uint16(SOA, IN)];
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(action === 'present' ? ttlSeconds : 0);
  const data = Buffer.concat([Buffer.of(text.length), text]);
  const record = [encodeDomainName(name), uint16(TXT, action === 'present' ? IN : NONE), ttl, uint16(data.length), data];
  return Buffer.concat([header, ...zoneSection, ...record]);
}

/** The code of an answer to it (RFC 1035 section 4.1.1); null if it is no answer to the message of this id. */
export function readUpdateAnswer(answer: Buffer, id: number): number | null {
  if (answer.length < HEADER_OCTETS || answer.readUInt16BE(0) !== id) return null;
  const flags = answer.readUInt16BE(2);
  return flags >>> 15 === 1 && ((flags >>> 11) & 0xf) === UPDATE ? flags & 0xf : null;
}

/** How RFC 2136 section 2.2 calls it. */
export function nameOfRcode(rcode: number): string {
  return rcodes[rcode] ?? `code ${rcode}`;
}

export function uint16(...values: readonly number[]): Buffer {
  const octets = Buffer.alloc(2 * values.length);
  for (const [at, value] of values.entries()) octets.writeUInt16BE(value, 2 * at);
  return octets;
}

const rcodes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED', 'YXDOMAIN', 'YXRRSET', 'NXRRSET', 'NOTAUTH', 'NOTZONE'];
const UPDATE = 5;
const [SOA, TXT] = [6, 16];
const [IN, NONE] = [1, 254];
export const HEADER_OCTETS = 12;
