import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { Kysely } from 'kysely';
import { readCheckpoint, readConsistencyProof, readEntryBundle, readTile } from '../../src/control/audit/read-log.ts';
import { openCheckpoint } from '../../src/core/merkle/checkpoint.ts';
import { verifyConsistency } from '../../src/core/merkle/proof.ts';
import { verifyLog } from '../../src/core/merkle/verify-log.ts';
import { entriesPath, tilePath } from '../../src/core/merkle/tile.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import { parseServerConfig } from '../../src/platform/config/server-config.ts';
import { type FinishedRound, keepRound, openKillProgress } from './kill-progress.ts';
import { openState, type State } from '../../src/server/open-state.ts';

export type KillOptions = {
  /** Where data directory, key file and the rounds so far lie: a run that finds rounds there goes on after them. */
  readonly folder: string;
  /** `sqlite:PATH` or `postgres://…`. */
  readonly database: string;
  /** In all, those of earlier runs in this folder among them. */
  readonly rounds: number;
  readonly seed: number;
  readonly onRound?: (round: number, returned: number) => void;
};

export type KillReport = {
  readonly rounds: number;
  readonly returned: number;
  readonly logged: number;
  readonly reserved: number;
  readonly entries: number;
};

/**
 * Kills the issuing process at a random moment of each round and then holds what it had answered against store and log.
 * @throws when a returned certificate is not stored as issued, or not logged, when a serial stands twice, or the log is not one history
 */
export async function runKillRounds({ folder, database, rounds, seed, onRound }: KillOptions): Promise<KillReport> {
  const { finished } = openKillProgress(folder, seed);
  const random = seededRandom(seed);
  const returned = new Set<string>();
  const notes: string[] = [];
  const take = (round: FinishedRound): void => {
    for (const serial of round.serials) {
      if (returned.has(serial)) throw new Error(`serial ${serial} was returned twice`);
      returned.add(serial);
    }
    notes.push(round.note);
  };
  for (let round = 1; round <= rounds; round++) {
    const lifeMs = Math.floor(random() * MAXIMUM_LIFE_MS);
    const before = finished[round - 1];
    if (before !== undefined) {
      take(before);
      continue;
    }
    const serials = await issueUntilKilled(folder, database, lifeMs);
    await using state = await openAgain(folder, database);
    const ended = { serials, note: await checkRound(state, serials, notes.at(-1) ?? null) };
    take(ended);
    keepRound(folder, ended);
    onRound?.(round, serials.length);
  }
  await using state = await openAgain(folder, database);
  return await checkWhole(state, returned, notes, rounds);
}

/** The serials that left the process before it died. */
async function issueUntilKilled(folder: string, database: string, lifeMs: number): Promise<string[]> {
  const program = join(import.meta.dirname, 'issuing-process.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, folder, database], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Most of a round is its start; what Node compiled once need not be compiled two hundred times.
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compile-cache') },
  });
  const ended = once(child, 'exit');
  const serials: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    if (line === 'ready') setTimeout(() => child.kill('SIGKILL'), lifeMs);
    // A line that the death cut short is no answer.
    else if (/^[0-9a-f]{34}$/.test(line)) serials.push(line);
  }
  const [, signal] = (await ended) as [number | null, string | null];
  if (signal !== 'SIGKILL') throw new Error(`the issuing process ended by itself (${signal})`);
  return serials;
}

function openAgain(folder: string, database: string): Promise<State> {
  const text = `dataDirectory: ${join(folder, 'data')}\nkeyFile: ${join(folder, 'kek')}\ntrustDomain: faults.example\ndatabase: ${database}\n`;
  return openState({ config: parseServerConfig(text, folder), clock: systemClock });
}

type Tables = { certificates: { serial: Uint8Array; status: string }; audit_entries: { type: string; leaf: string; leaf_index: number } };

/** Every answer of the round stands in store and log, and the log goes on from the last round's checkpoint. Returns the new checkpoint. */
async function checkRound({ database, verifier }: State, serials: readonly string[], before: string | null): Promise<string> {
  const { note } = (await readCheckpoint(database.queries))!;
  const head = openCheckpoint(note, verifier);
  if (before !== null) {
    const first = openCheckpoint(before, verifier);
    if (!verifyConsistency(await readConsistencyProof(database.queries, first.size, head.size), first, head))
      throw new Error('the log is not one history');
  }
  const tables: Kysely<Tables> = database.queries.withTables<Tables>();
  for (let at = 0; at < serials.length; at += 500) {
    const part = serials.slice(at, at + 500);
    const stored = await tables
      .selectFrom('certificates')
      .select('serial')
      .where('status', '=', 'issued')
      .where(
        'serial',
        'in',
        part.map((serial) => Buffer.from(serial, 'hex')),
      )
      .execute();
    if (stored.length !== part.length) throw new Error(`${part.length - stored.length} returned certificates are not stored as issued`);
  }
  return note;
}

/** The whole log, recomputed from its leaves; what was returned, reserved and issued, and no serial twice. */
async function checkWhole(
  { database, verifier }: State,
  returned: ReadonlySet<string>,
  notes: readonly string[],
  rounds: number,
): Promise<KillReport> {
  const issued = new Map<string, number>();
  const reserved = new Map<string, number>();
  const { queries } = database;
  const files = {
    async read(path: string): Promise<Uint8Array> {
      if (path === 'checkpoint') return Buffer.from((await readCheckpoint(queries))!.note);
      const match = /^tile\/(entries|\d)\/(.*?)(?:\.p\/(\d+))?$/.exec(path)!;
      const index = Number(match[2]!.replaceAll(/[x/]/g, ''));
      const width = Number(match[3] ?? 256);
      const [level] = [match[1]!];
      const wanted = level === 'entries' ? entriesPath(index, width) : tilePath({ level: Number(level), index, width });
      if (wanted !== path) throw new Error(`${path} is no path of the log`);
      return level === 'entries' ? readEntryBundle(queries, index, width) : readTile(queries, Number(level), index, width);
    },
  };
  const { size } = await verifyLog(files, verifier, {
    earlier: notes,
    onLeaf: (leaf) => {
      const { type, data } = JSON.parse(Buffer.from(leaf).toString()) as { type: string; data: { serial?: string } };
      const into = type === 'certificate.issued' ? issued : type === 'certificate.reserved' ? reserved : null;
      if (into !== null && data.serial !== undefined) into.set(data.serial, (into.get(data.serial) ?? 0) + 1);
    },
  });
  for (const [kind, found] of [
    ['issued', issued],
    ['reserved', reserved],
  ] as const) {
    for (const [serial, count] of found) if (count !== 1) throw new Error(`serial ${serial} is ${kind} ${count} times in the log`);
  }
  for (const serial of returned) if (!issued.has(serial)) throw new Error(`certificate ${serial} was returned and is not in the log`);
  for (const serial of issued.keys()) if (!reserved.has(serial)) throw new Error(`certificate ${serial} was issued and never reserved`);
  return { rounds, returned: returned.size, logged: issued.size, reserved: reserved.size, entries: size };
}

/** mulberry32: the same seed kills at the same moments. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Long enough for some hundred certificates, short enough for many rounds. */
const MAXIMUM_LIFE_MS = 400;
