import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * All entries of an exported log, in order: the entry bundles of C2SP tlog-tiles, `tile/entries/x001/234` with 256 entries each and
 * the last one `.p/<count>`. An entry is its length (two octets, big-endian) and its octets.
 * @throws Error where a bundle is cut or missing
 */
export function readExportedEntries(directory: string, size: number): Buffer[] {
  const entries: Buffer[] = [];
  for (let bundle = 0; bundle * ENTRIES_PER_BUNDLE < size; bundle += 1) {
    const count = Math.min(ENTRIES_PER_BUNDLE, size - bundle * ENTRIES_PER_BUNDLE);
    const found = readBundle(bundlePath(directory, bundle, count));
    if (found.length < count) throw new Error(`bundle ${bundle} holds ${found.length} entries, expected ${count}`);
    entries.push(...found.slice(0, count));
  }
  return entries;
}

/** A full bundle holds what a partial one does, so it may stand in its place. */
function bundlePath(directory: string, bundle: number, count: number): string {
  const full = join(directory, 'tile', 'entries', encodeIndex(bundle));
  return count === ENTRIES_PER_BUNDLE || existsSync(full) ? full : join(`${full}.p`, String(count));
}

/** `1234067` is `x001/x234/067`. */
export function encodeIndex(index: number): string {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, '0');
  const groups = digits.match(/\d{3}/g)!;
  return groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/');
}

function readBundle(path: string): Buffer[] {
  const octets = readFileSync(path);
  const entries: Buffer[] = [];
  for (let at = 0; at < octets.length;) {
    const end = at + 2 + octets.readUInt16BE(at);
    if (end > octets.length) throw new Error(`an entry of ${path} is cut`);
    entries.push(octets.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

const ENTRIES_PER_BUNDLE = 256;
