import { randomFillSync } from 'node:crypto';

/** Octets of the machine's randomness, each given out once. They are drawn many at a time: a draw costs much more than its octets do. */
export function randomOctets(count: number): Uint8Array {
  if (at + count > pool.length) {
    // What was given out are views of the old one.
    pool = randomFillSync(new Uint8Array(Math.max(POOL_OCTETS, count)));
    at = 0;
  }
  const start = at;
  at += count;
  return pool.subarray(start, at);
}

let pool: Uint8Array = new Uint8Array(0);
let at = 0;
const POOL_OCTETS = 2_048;
