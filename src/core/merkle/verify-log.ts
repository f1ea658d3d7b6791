import { Problem } from '../problems/problem.ts';
import { openCheckpoint } from './checkpoint.ts';
import { equalHashes } from './equal-hashes.ts';
import { appendLeaf, emptyFrontier, type Frontier, rootOf } from './frontier.ts';
import { type Hash, hashLeaf } from './hash.ts';
import type { NoteVerifier } from './signed-note.ts';
import { decodeEntries, entriesPath, readTileHashes, rootOfFullTile, TILE_WIDTH, type TileId, tilePath } from './tile.ts';

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
 * earlier checkpoint is a prefix of it. `onLeaf` sees each leaf once, in order, after it was found to fit its tile. Holds one tile of
 * leaves and, of the levels above, a hash for every 256 entries.
 * @throws log-invalid naming the first thing that is not as it must be
 */
export async function verifyLog(
  files: LogFiles,
  verifier: NoteVerifier,
  options: { readonly earlier?: readonly string[]; readonly onLeaf?: (leaf: Uint8Array, index: number) => void } = {},
): Promise<LogReport> {
  const { origin, size, root } = openCheckpoint(Buffer.from(await read(files, 'checkpoint')).toString(), verifier);
  const expected = new Map<number, Hash[]>();
  const earlier = (options.earlier ?? []).map((note) => openCheckpoint(note, verifier));
  for (const first of earlier) {
    if (first.size > size) throw broken(`an earlier checkpoint is of size ${first.size}, the log of ${size}`);
    expected.set(first.size, [...(expected.get(first.size) ?? []), first.root]);
  }
  checkPrefix(expected, emptyFrontier);
  let frontier = emptyFrontier;
  const above: Hash[] = [];
  while (frontier.size < size) {
    const [index, width] = [frontier.size / TILE_WIDTH, Math.min(TILE_WIDTH, size - frontier.size)];
    const hashes = await readHashes(files, { level: 0, index, width });
    for (const [at, leaf] of decodeEntries(await read(files, entriesPath(index, width)), width).entries()) {
      const hash = hashLeaf(leaf);
      if (!equalHashes(hash, hashes[at]!)) throw broken(`entry ${frontier.size} does not fit ${tilePath({ level: 0, index, width })}`);
      options.onLeaf?.(leaf, frontier.size);
      frontier = appendLeaf(frontier, hash);
      checkPrefix(expected, frontier);
    }
    if (width === TILE_WIDTH) above.push(rootOfFullTile(hashes));
  }
  if (!equalHashes(rootOf(frontier), root)) throw broken('the root of the entries is not the root of the checkpoint');
  await checkTilesAbove(files, above);
  return { origin, size, root: Buffer.from(root).toString('hex'), extended: earlier.length };
}

function checkPrefix(expected: ReadonlyMap<number, readonly Hash[]>, frontier: Frontier): void {
  for (const root of expected.get(frontier.size) ?? []) {
    if (!equalHashes(rootOf(frontier), root)) throw broken(`the log does not extend an earlier checkpoint of size ${frontier.size}`);
  }
}

/** The levels above the leaves say nothing new; whoever reads proofs from them shall not be misled. */
async function checkTilesAbove(files: LogFiles, firstLevel: readonly Hash[]): Promise<void> {
  let nodes = firstLevel;
  for (let level = 1; nodes.length > 0; level++) {
    const above: Hash[] = [];
    for (let start = 0; start < nodes.length; start += TILE_WIDTH) {
      const tile = { level, index: start / TILE_WIDTH, width: Math.min(TILE_WIDTH, nodes.length - start) };
      const hashes = await readHashes(files, tile);
      const wrong = hashes.findIndex((hash, at) => !equalHashes(hash, nodes[start + at]!));
      if (wrong !== -1) throw broken(`hash ${wrong} of ${tilePath(tile)} does not fit the entries`);
      if (tile.width === TILE_WIDTH) above.push(rootOfFullTile(hashes));
    }
    nodes = above;
  }
}

async function readHashes(files: LogFiles, tile: TileId): Promise<Hash[]> {
  return readTileHashes(await read(files, tilePath(tile)), tile.width);
}

async function read(files: LogFiles, path: string): Promise<Uint8Array> {
  try {
    return await files.read(path);
  } catch (cause) {
    throw new Problem('log-invalid', `Cannot verify log: ${path} cannot be read`, { cause });
  }
}

function broken(what: string): Problem {
  return new Problem('log-invalid', `Cannot verify log: ${what}`);
}
