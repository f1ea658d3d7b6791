import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readExportedEntries } from './read-tiles.ts';
import { type Checkpoint, computeRoots, hashLeaf, openCheckpoint } from './transparency.ts';

export type CheckpointVerdict = {
  readonly kept: number;
  readonly entries: number;
  readonly consistent: boolean;
  readonly problem: string | null;
};

/**
 * Checks that every checkpoint that was kept is a true prefix of the exported log: each one's signature holds, and its root is
 * that of the first `size` exported entries. That is consistency of every one with the last, shown by the entries themselves.
 */
export function checkCheckpoints(keptFile: string, exportDirectory: string, verifierKey: string): CheckpointVerdict {
  const lines = readFileSync(keptFile, 'utf8').split('\n').filter(Boolean);
  let kept: Checkpoint[] = [];
  try {
    kept = lines.map((line) => openCheckpoint((JSON.parse(line) as { readonly checkpoint: string }).checkpoint, verifierKey));
    const last = openCheckpoint(readFileSync(join(exportDirectory, 'checkpoint'), 'utf8'), verifierKey);
    const entries = readExportedEntries(exportDirectory, last.size);
    const roots = computeRoots(entries.map(hashLeaf), new Set([...kept.map(({ size }) => size), last.size]));
    const problem = findInconsistency([...kept, last], last, roots);
    return { kept: kept.length, entries: entries.length, consistent: problem === null, problem };
  } catch (error) {
    return { kept: kept.length, entries: 0, consistent: false, problem: error instanceof Error ? error.message : 'unreadable' };
  }
}

function findInconsistency(all: readonly Checkpoint[], last: Checkpoint, roots: ReadonlyMap<number, string>): string | null {
  let previous = 0;
  for (const { origin, size, root } of all) {
    if (origin !== last.origin) return `a checkpoint is of ${origin}, expected ${last.origin}`;
    if (size < previous) return `the log shrank from ${previous} to ${size}`;
    if (size > last.size) return `a checkpoint over ${size} entries was kept, the export has ${last.size}`;
    if (roots.get(size) !== root) return `the checkpoint over ${size} entries is not of the exported log`;
    previous = size;
  }
  return null;
}
