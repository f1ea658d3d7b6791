import { readCheckpoint, readEntryBundle, readTile } from '../../control/audit/read-log.ts';
import { encodeVerifier, type NoteVerifier } from '../../core/merkle/signed-note.ts';
import { TILE_WIDTH } from '../../core/merkle/tile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';

/** One file of the log as C2SP tlog-tiles lays it out. */
export type LogFile = { readonly body: Uint8Array; readonly contentType: string; readonly cacheControl: string };

/** Checkpoint and verifier key are public; tiles and entries are for auditors. */
export function isPublicLogPath(path: string): boolean {
  return path === 'checkpoint' || path === 'verifier';
}

/**
 * Reads a file of the log by its path below the log's prefix: `checkpoint`, `verifier`, `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`.
 * @throws not-found
 */
export async function readLogFile(
  { queries, verifier }: { readonly queries: Queries; readonly verifier: NoteVerifier },
  path: string,
): Promise<LogFile> {
  if (path === 'verifier') return { body: Buffer.from(`${encodeVerifier(verifier)}\n`), contentType: TEXT, cacheControl: 'no-cache' };
  if (path === 'checkpoint') {
    const checkpoint = await readCheckpoint(queries);
    if (checkpoint === null) throw missing(path);
    return { body: Buffer.from(checkpoint.note), contentType: TEXT, cacheControl: 'no-store' };
  }
  const { level, index, width } = parseTilePath(path);
  const body = level === 'entries' ? await readEntryBundle(queries, index, width) : await readTile(queries, level, index, width);
  // A tile never changes; a partial one is replaced by a wider one under another name.
  return { body, contentType: 'application/octet-stream', cacheControl: 'private, max-age=31536000, immutable' };
}

type TileRequest = { readonly level: number | 'entries'; readonly index: number; readonly width: number };

/** N comes in groups of three digits, all but the last with an `x` before it. */
function parseTilePath(path: string): TileRequest {
  const match = /^tile\/(entries|\d)\/((?!x000)(?:x\d{3}\/){0,4}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  const width = match?.[3] === undefined ? TILE_WIDTH : Number(match[3]);
  if (match === null || width === 0 || (match[3] !== undefined && (width >= TILE_WIDTH || match[3] !== String(width)))) throw missing(path);
  const index = Number(match[2]!.replaceAll(/[x/]/g, ''));
  return { level: match[1] === 'entries' ? 'entries' : Number(match[1]), index, width };
}

function missing(path: string): Problem {
  return new Problem(
    'not-found',
    `Cannot read log: ${JSON.stringify(path.slice(0, 100))}, expected checkpoint, verifier or a tile of this log`,
  );
}

const TEXT = 'text/plain; charset=utf-8';
