import type { Hash } from '../../core/merkle/hash.ts';
import { proveConsistency, proveInclusion, type SubtreeReader } from '../../core/merkle/proof.ts';
import { encodeEntries, rootOfFullTile, TILE_WIDTH } from '../../core/merkle/tile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';
import { readNodes } from './make-seal.ts';
import { readFrontier, readLatestCheckpoint, readLeaves } from './store.ts';

/** The newest checkpoint, a signed note; null while the log is empty. */
export async function readCheckpoint(queries: Queries): Promise<{ readonly size: number; readonly note: string } | null> {
  return readLatestCheckpoint(queries);
}

/** The hashes of a tile, side by side. @throws not-found if the tree has no such tile of this width */
export async function readTile(queries: Queries, level: number, index: number, width: number): Promise<Uint8Array> {
  if (!Number.isInteger(level) || level < 0 || level > MAXIMUM_LEVEL) throw missing();
  checkWidth(index, width);
  const hashes = await readNodes(queries, level, index * TILE_WIDTH, index * TILE_WIDTH + width);
  if (hashes.length !== width) throw missing();
  return Buffer.concat(hashes);
}

/** The entries under a tile of level 0, with their lengths. @throws not-found */
export async function readEntryBundle(queries: Queries, index: number, width: number): Promise<Uint8Array> {
  checkWidth(index, width);
  const leaves = await readLeaves(queries, index * TILE_WIDTH, index * TILE_WIDTH + width);
  if (leaves.length !== width) throw missing();
  return encodeEntries(leaves);
}

/** The inclusion proof of a leaf in the tree of this size. @throws not-found */
export async function readInclusionProof(queries: Queries, index: number, size: number): Promise<Hash[]> {
  await checkSize(queries, size);
  if (!Number.isInteger(index) || index < 0 || index >= size) throw missing();
  return proveInclusion(subtreeReader(queries), index, size);
}

/** The proof that the tree of size `to` extends that of size `from`. @throws not-found */
export async function readConsistencyProof(queries: Queries, from: number, to: number): Promise<Hash[]> {
  await checkSize(queries, to);
  if (!Number.isInteger(from) || from < 0 || from > to) throw missing();
  return proveConsistency(subtreeReader(queries), from, to);
}

/** A complete subtree of 2^k leaves is the fold of at most 128 neighbouring nodes of one tile level. */
function subtreeReader(queries: Queries): SubtreeReader {
  return async (start, end) => {
    let level = 0;
    let [first, last] = [start, end];
    while (last - first >= TILE_WIDTH) {
      [first, last] = [first / TILE_WIDTH, last / TILE_WIDTH];
      level++;
    }
    return rootOfFullTile(await readNodes(queries, level, first, last));
  };
}

async function checkSize(queries: Queries, size: number): Promise<void> {
  const head = await readFrontier(queries);
  if (!Number.isInteger(size) || size < 1 || size > head.size) throw missing();
}

function checkWidth(index: number, width: number): void {
  if (!Number.isInteger(index) || index < 0 || !Number.isInteger(width) || width < 1 || width > TILE_WIDTH) throw missing();
}

function missing(): Problem {
  return new Problem('not-found', 'Cannot read log: there is no such tile, entry or size');
}

/** 256^6 entries would be 2^48. */
const MAXIMUM_LEVEL = 5;
