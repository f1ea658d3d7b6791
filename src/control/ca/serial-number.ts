import { randomOctets } from '../../platform/ids/random-octets.ts';

/**
 * The content octets of a new serial number: a fixed first octet, so that the INTEGER is positive and always of one length, and 128 random bits
 * (RFC 5280 section 4.1.2.2: at most 20 octets; CA/B BR 7.1.2.7: at least 64 bits from a CSPRNG). The same octets stand in certificate, CRL and index.
 */
export function newSerialNumber(): Uint8Array {
  const serial = new Uint8Array(1 + RANDOM_OCTETS);
  serial[0] = PREFIX;
  serial.set(randomOctets(RANDOM_OCTETS), 1);
  return serial;
}

const PREFIX = 0x01;
const RANDOM_OCTETS = 16;
