import type { Random } from './random.ts';

/** Changes that know nothing of the form: bits, octets, lengths, pieces. */
export function mutateOctets(random: Random, input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  const octets = Buffer.from(input);
  const at = random.below(octets.length + 1);
  const length = random.below(Math.min(32, octets.length - at + 1));
  switch (random.below(7)) {
    case 0:
      if (at < octets.length) octets[at]! ^= 1 << random.below(8);
      return octets;
    case 1:
      if (at < octets.length) octets[at] = random.pick(EDGES);
      return octets;
    case 2:
      return Buffer.concat([octets.subarray(0, at), octets.subarray(at + length)]);
    case 3:
      return Buffer.concat([octets.subarray(0, at + length), octets.subarray(at, at + length), octets.subarray(at + length)]);
    case 4:
      return octets.subarray(0, at);
    case 5:
      return Buffer.concat([octets.subarray(0, at), Buffer.from([random.pick(EDGES), random.below(256)]), octets.subarray(at)]);
    default:
      return spliced(random, octets, Buffer.from(random.pick(corpus)));
  }
}

function spliced(random: Random, octets: Buffer, other: Buffer): Buffer {
  return Buffer.concat([octets.subarray(0, random.below(octets.length + 1)), other.subarray(random.below(other.length + 1))]);
}

const EDGES = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x1f, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xa0, 0xa3, 0xff,
];
