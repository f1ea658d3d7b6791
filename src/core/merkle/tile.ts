import { Problem } from '../problems/problem.ts';
import { type Hash, HASH_OCTETS, hashChildren } from './hash.ts';

/** C2SP tlog-tiles: up to 256 hashes of one level, side by side. */
export const TILE_WIDTH = 256;

/** A tile's coordinates; `width` below 256 is a partial tile at the right edge. */
export type TileId = { readonly level: number; readonly index: number; readonly width: number };

/** `tile/<L>/<N>[.p/<W>]`, N in groups of three digits, all but the last with an `x` (C2SP tlog-tiles). */
export function tilePath({ level, index, width }: TileId): string {
  return `tile/${level}/${indexPath(index)}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** `tile/entries/<N>[.p/<W>]`: the leaves under a tile of level 0. */
export function entriesPath(index: number, width: number): string {
  return `tile/entries/${indexPath(index)}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

function indexPath(index: number): string {
  const groups: string[] = [];
  for (let rest = index; groups.length === 0 || rest > 0; rest = Math.floor(rest / 1_000))
    groups.unshift(String(rest % 1_000).padStart(3, '0'));
  return groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/');
}

/** The tiles of a tree of this size, lowest level first, partial ones included. */
export function* tilesOf(size: number): Generator<TileId> {
  for (let level = 0, nodes = size; nodes > 0; level++, nodes = Math.floor(nodes / TILE_WIDTH)) {
    for (let index = 0; index * TILE_WIDTH < nodes; index++)
      yield { level, index, width: Math.min(TILE_WIDTH, nodes - index * TILE_WIDTH) };
  }
}

/** The hash that a full tile stands for one level higher. */
export function rootOfFullTile(hashes: readonly Hash[]): Hash {
  let row = hashes;
  while (row.length > 1) {
    const above: Hash[] = [];
    for (let at = 0; at < row.length; at += 2) above.push(hashChildren(row[at]!, row[at + 1]!));
    row = above;
  }
  return row[0]!;
}

/** @throws log-invalid if the octets are no whole number of hashes, or not `width` of them */
export function readTileHashes(octets: Uint8Array, width: number): Hash[] {
  if (octets.length !== width * HASH_OCTETS)
    throw new Problem('log-invalid', `Cannot read tile: ${octets.length} octets, expected ${width * HASH_OCTETS}`);
  return Array.from({ length: width }, (_, at) => octets.subarray(at * HASH_OCTETS, (at + 1) * HASH_OCTETS));
}

/** Entries with their lengths as 16-bit integers before them (C2SP tlog-tiles). @throws log-invalid on an entry over 65,535 octets */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > MAXIMUM_ENTRY)
        throw new Problem('log-invalid', `Cannot write entry: ${entry.length} octets, expected at most ${MAXIMUM_ENTRY}`);
      return [Buffer.from([entry.length >> 8, entry.length & 255]), entry];
    }),
  );
}

/** @throws log-invalid if the bundle is cut or holds another number of entries */
export function decodeEntries(bundle: Uint8Array, count: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bundle.length) {
    const length = ((bundle[at] ?? 0) << 8) | (bundle[at + 1] ?? 0);
    if (at + 2 + length > bundle.length) throw new Problem('log-invalid', `Cannot read entries: cut in entry ${entries.length}`);
    entries.push(bundle.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  if (entries.length !== count) throw new Problem('log-invalid', `Cannot read entries: ${entries.length} in the bundle, expected ${count}`);
  return entries;
}

export const MAXIMUM_ENTRY = 65_535;
