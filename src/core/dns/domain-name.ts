import { Problem } from '../problems/problem.ts';

/** A name in wire form (RFC 1035 section 3.1), lower case and without compression, as digests want it. @throws identity-malformed */
export function encodeDomainName(text: string): Buffer {
  const name = text.toLowerCase();
  if (name.length > MAXIMUM_TEXT || !NAME.test(name))
    throw new Problem(
      'identity-malformed',
      `Cannot encode domain name: ${JSON.stringify(text.slice(0, 300))}, expected labels of [a-z0-9_-]`,
    );
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]));
  return Buffer.concat([...labels, Buffer.of(0)]);
}

/**
 * Reads a name that may be compressed (section 4.1.4): as it would be encoded, and where it ends in the message. Each pointer has to lead further back than the
 * one before, so that a name ends. Null if there is none.
 */
export function readDomainName(message: Buffer, start: number): { readonly wire: Buffer; readonly end: number } | null {
  const labels: Buffer[] = [];
  let [at, lowest, octets, end] = [start, start, 0, -1];
  for (;;) {
    const length = message[at];
    if (length === undefined) return null;
    if (length >= POINTER) {
      const low = message[at + 1];
      if (low === undefined) return null;
      if (end === -1) end = at + 2;
      at = (length - POINTER) * 256 + low;
      if (at >= lowest) return null;
      lowest = at;
      continue;
    }
    octets += length + 1;
    if (length > MAXIMUM_LABEL || octets > MAXIMUM_WIRE || at + 1 + length > message.length) return null;
    labels.push(message.subarray(at, at + 1 + length));
    at += 1 + length;
    if (length === 0)
      return { wire: Buffer.from(Buffer.concat(labels).toString('latin1').toLowerCase(), 'latin1'), end: end === -1 ? at : end };
  }
}

/** Hosts, and the names below them that begin with an underscore (RFC 8552). */
const NAME = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const MAXIMUM_TEXT = 253;
const MAXIMUM_LABEL = 63;
const MAXIMUM_WIRE = 255;
/** The two highest bits of a length make it a pointer. */
const POINTER = 0xc0;
