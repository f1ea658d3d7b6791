import { Problem } from '../problems/problem.ts';
import { openCheckpoint } from './checkpoint.ts';
import { equalHashes } from './equal-hashes.ts';
import { appendLeaf, emptyFrontier, type Frontier, rootOf } from './frontier.ts';
import { type Hash, hashLeaf } from './hash.ts';
import type { NoteVerifier } from './signed-note.ts';
import { decodeEntries, entriesPath, readTileHashes, rootOfFullTile, tilePath, TILE_WIDTH, tilesOf } from './tile.ts';

/** Where the files of an exported log come from, by their paths in tlog-tiles. */
export type LogFiles = { read(path: string): Promise<Uint8Array> };

export type LogReport = {
  readonly origin: string;
  readonly size: number;
  /** Root as lower case hex. */
  readonly root: string;
  /** How many earlier checkpoints the log was found to extend. */
  readonly extended: number;
};

/**
 * Verifies an exported log with nothing but its files and the verifier's key: the signature, every leaf, every tile, and that each
 * earlier checkpoint is a prefix of it. `onLeaf` sees each leaf once, in order, after it was hashed.
 * @throws log-invalid naming the first thing that is not as it must be
 */
export async function verifyLog(
  files: LogFiles,
  verifier: NoteVerifier,
  options: { readonly earlier?: readonly string[]; readonly onLeaf?: (leaf: Uint8Array, index: number) => void } = {},
): Promise<LogReport> {
  const checkpoint = openCheckpoint(Buffer.from(await files.read('checkpoint')).toString(), verifier);
  const earlier = (options.earlier ?? []).map((note) => openCheckpoint(note, verifier)).toSorted((a, b) => a.size - b.size);
  const expected = new Map<number, Hash[]>();
  for (const { size, root } of earlier) expected.set(size, [...(expected.get(size) ?? []), root]);
  checkPrefix(expected, emptyFrontier);
  let frontier = emptyFrontier;
  const nodes: Hash[][] = [[]];
  for (let index = 0; frontier.size < checkpoint.size; index++) {
    const width = Math.min(TILE_WIDTH, checkpoint.size - frontier.size);
    const hashes: Hash[] = [];
    for (const leaf of decodeEntries(await files.read(entriesPath(index, width)), width)) {
      options.onLeaf?.(leaf, frontier.size);
      const hash = hashLeaf(leaf);
      hashes.push(hash);
      frontier = appendLeaf(frontier, hash);
      checkPrefix(expected, frontier);
    }
    nodes[0]!.push(...hashes);
  }
  if (!equalHashes(rootOf(frontier), checkpoint.root)) throw broken('the root of the entries is not the root of the checkpoint');
  const last = earlier.at(-1);
  if (last !== undefined && last.size > checkpoint.size)
    throw broken(`an earlier checkpoint is of size ${last.size}, the log of ${checkpoint.size}`);
  await checkTiles(files, checkpoint.size, nodes);
  return { origin: checkpoint.origin, size: checkpoint.size, root: Buffer.from(checkpoint.root).toString('hex'), extended: earlier.length };
}

function checkPrefix(expected: ReadonlyMap<number, readonly Hash[]>, frontier: Frontier): void {
  for (const root of expected.get(frontier.size) ?? []) {
    if (!equalHashes(rootOf(frontier), root)) throw broken(`the log does not extend an earlier checkpoint of size ${frontier.size}`);
  }
}

async function checkTiles(files: LogFiles, size: number, nodes: Hash[][]): Promise<void> {
  for (const tile of tilesOf(size)) {
    const hashes = readTileHashes(await files.read(tilePath(tile)), tile.width);
    const from = tile.index * TILE_WIDTH;
    for (const [at, hash] of hashes.entries()) {
      const node = nodes[tile.level]?.[from + at];
      if (node === undefined || !equalHashes(node, hash)) throw broken(`hash ${at} of ${tilePath(tile)} does not fit the entries`);
    }
    if (tile.width === TILE_WIDTH) (nodes[tile.level + 1] ??= []).push(rootOfFullTile(hashes));
  }
}

function broken(what: string): Problem {
  return new Problem('log-invalid', `Cannot verify log: ${what}`);
}
