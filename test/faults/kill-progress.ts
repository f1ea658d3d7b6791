import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A round that was killed and checked: what its process had answered, and the checkpoint after it. */
export type FinishedRound = { readonly serials: readonly string[]; readonly note: string };

/** What a run has behind it, kept in its folder: a line for the seed, then one a round. */
export type KillProgress = { readonly seed: number; readonly finished: readonly FinishedRound[] };

/**
 * Reads how far a run came, or begins one. A line that the end of the run cut short is a round that was not finished.
 * @throws Error when the folder holds a run of another seed: its moments would not be those of the seed that is reported
 */
export function openKillProgress(folder: string, seed: number): KillProgress {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = progressFile(folder);
  if (!existsSync(file)) {
    writeFileSync(file, `${JSON.stringify({ seed })}\n`);
    return { seed, finished: [] };
  }
  const text = readFileSync(file, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  // What is appended next begins a line of its own.
  if (whole !== text) writeFileSync(file, whole);
  const [first, ...rounds] = whole.split('\n').filter(Boolean);
  const begun = JSON.parse(first ?? '{}') as { readonly seed?: number };
  if (begun.seed !== seed) throw new Error(`Cannot go on in ${folder}: it was begun with seed ${begun.seed}, asked is ${seed}`);
  return { seed, finished: rounds.map((line) => JSON.parse(line) as FinishedRound) };
}

export function keepRound(folder: string, round: FinishedRound): void {
  appendFileSync(progressFile(folder), `${JSON.stringify(round)}\n`);
}

/** The seed of the run that a folder holds, or null where none was begun. */
export function seedOf(folder: string): number | null {
  const file = progressFile(folder);
  if (!existsSync(file)) return null;
  return (JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '{}') as { readonly seed?: number }).seed ?? null;
}

const progressFile = (folder: string): string => join(folder, 'rounds.jsonl');
