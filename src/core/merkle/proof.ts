import { type Hash, hashChildren } from './hash.ts';
import { equalHashes } from './equal-hashes.ts';

/** Reads the root of the complete subtree over leaves [start, end), a power of two wide and aligned. */
export type SubtreeReader = (start: number, end: number) => Promise<Hash>;

/** The root over leaves [start, end) of any width (RFC 6962 section 2.1). */
export async function rootOfRange(read: SubtreeReader, start: number, end: number): Promise<Hash> {
  const width = end - start;
  const split = largestPowerBelow(width);
  if (width === 1 || split * 2 === width) return read(start, end);
  return hashChildren(await read(start, start + split), await rootOfRange(read, start + split, end));
}

/** PATH(index, D[size]) of RFC 6962 section 2.1.1, lowest first. */
export async function proveInclusion(read: SubtreeReader, index: number, size: number): Promise<Hash[]> {
  const path = async (start: number, end: number): Promise<Hash[]> => {
    if (end - start === 1) return [];
    const middle = start + largestPowerBelow(end - start);
    return index < middle
      ? [...(await path(start, middle)), await rootOfRange(read, middle, end)]
      : [...(await path(middle, end)), await rootOfRange(read, start, middle)];
  };
  return path(0, size);
}

/** PROOF(from, D[to]) of RFC 6962 section 2.1.2: that the tree of size `to` extends the one of size `from`. */
export async function proveConsistency(read: SubtreeReader, from: number, to: number): Promise<Hash[]> {
  if (from === 0 || from === to) return [];
  const prove = async (size: number, start: number, end: number, whole: boolean): Promise<Hash[]> => {
    if (size === end - start) return whole ? [] : [await rootOfRange(read, start, end)];
    const middle = largestPowerBelow(end - start);
    return size <= middle
      ? [...(await prove(size, start, start + middle, whole)), await rootOfRange(read, start + middle, end)]
      : [...(await prove(size - middle, start + middle, end, false)), await rootOfRange(read, start, start + middle)];
  };
  return prove(from, 0, to, true);
}

/** RFC 9162 section 2.1.3.2. */
export function verifyInclusion(proof: readonly Hash[], leaf: Hash, index: number, size: number, root: Hash): boolean {
  if (index < 0 || index >= size) return false;
  let node = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = hashChildren(sibling, hash);
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = hashChildren(hash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalHashes(hash, root);
}

export type TreeHead = { readonly size: number; readonly root: Hash };

/** RFC 9162 section 2.1.4.2. */
export function verifyConsistency(proof: readonly Hash[], first: TreeHead, second: TreeHead): boolean {
  if (first.size > second.size) return false;
  if (first.size === second.size) return proof.length === 0 && equalHashes(first.root, second.root);
  if (first.size === 0) return proof.length === 0;
  const path = isPowerOfTwo(first.size) ? [first.root, ...proof] : [...proof];
  const [start, ...rest] = path;
  if (start === undefined) return false;
  let node = first.size - 1;
  let last = second.size - 1;
  while (node % 2 === 1) {
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  let oldHash = start;
  let newHash = start;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldHash = hashChildren(sibling, oldHash);
      newHash = hashChildren(sibling, newHash);
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2);
        last = Math.floor(last / 2);
      }
    } else {
      newHash = hashChildren(newHash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalHashes(oldHash, first.root) && equalHashes(newHash, second.root);
}

/** The largest power of two strictly below n, for n > 1; 1 for n = 1. */
function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

function isPowerOfTwo(n: number): boolean {
  // Math.log2 rounds sizes near 2^48 to whole numbers.
  return 2 ** Math.round(Math.log2(n)) === n;
}
