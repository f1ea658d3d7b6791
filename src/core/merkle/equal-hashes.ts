import type { Hash } from './hash.ts';

/** Hashes of a log are public, so the comparison need not be constant in time. */
export function equalHashes(a: Hash, b: Hash): boolean {
  return Buffer.compare(a, b) === 0;
}
