import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { canonicalJson } from '../../core/merkle/canonical-json.ts';
import { signCheckpoint } from '../../core/merkle/checkpoint.ts';
import { appendLeaf, rootOf } from '../../core/merkle/frontier.ts';
import { type Hash, hashLeaf } from '../../core/merkle/hash.ts';
import { rootOfFullTile, TILE_WIDTH } from '../../core/merkle/tile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Database, Queries, Seal } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, StagedEntry } from './entry.ts';
import { hidePersons } from './hide-persons.ts';
import {
  type EntryRow,
  findPersons,
  insertCheckpoint,
  insertEntries,
  insertPerson,
  insertTileRoot,
  moveHead,
  readFrontier,
  readLeafHashes,
  readTileRoots,
} from './store.ts';

export type SealOptions = {
  readonly checkpointKey: KeyObject;
  /** The log's name, first line of every checkpoint. */
  readonly origin: string;
  readonly kind: Database['kind'];
  readonly clock: Clock;
};

/**
 * What ends every commit that records something: entries get their places, the tree grows, and a checkpoint over all of it is signed,
 * in the transaction of the changes themselves. So an entry that is there is under a checkpoint, and a change without its entry is not there.
 */
export function makeSeal({ checkpointKey, origin, kind, clock }: SealOptions): Seal<StagedEntry> {
  return async (queries, staged) => {
    // Replicas on one PostgreSQL take turns; the lock ends with the transaction, and the head's compare-and-set is the fence.
    if (kind === 'postgres') await sql`select pg_advisory_xact_lock(${LOG_LOCK})`.execute(queries);
    const before = await readFrontier(queries);
    const hashes = await hashPersons(queries, staged);
    const rows: EntryRow[] = [];
    let frontier = before;
    for (const { entry, persons, data: written, receipt } of staged) {
      const id = newEntityId('entry', entry.at);
      const actor = nameActor(entry.actor, hashes);
      const { type, at, environment, region } = entry;
      const data = persons.length === 0 ? written : hidePersons(entry.data, (name) => hashes.get(name)!);
      const leaf = canonicalJson({ v: LEAF_VERSION, type, id, at, environment, region, actor: actor.leaf, data });
      const hash = hashLeaf(Buffer.from(leaf));
      rows.push({ leaf_index: frontier.size, id, type, environment, region, actor: actor.search, at, leaf, leaf_hash: hash });
      receipt.entryId = id;
      receipt.leafIndex = frontier.size;
      frontier = appendLeaf(frontier, hash);
    }
    await insertEntries(queries, rows);
    await completeTiles(queries, before.size, frontier.size);
    if (!(await moveHead(queries, before.size, frontier))) {
      throw new Problem('state-conflict', `Cannot append to the log: it is no longer of size ${before.size}`);
    }
    const note = signCheckpoint({ origin, size: frontier.size, root: rootOf(frontier) }, checkpointKey);
    await insertCheckpoint(queries, frontier.size, note, clock.now());
  };
}

type NamedActor = { readonly leaf: { readonly [name: string]: string }; readonly search: string };

/** A person enters the log as a hash under a salt of their own; name and salt stand in a table that can be erased. */
async function hashPersons(queries: Queries, staged: readonly StagedEntry[]): Promise<ReadonlyMap<string, string>> {
  const names = new Set(staged.flatMap(({ entry, persons }) => (entry.actor.kind === 'person' ? [entry.actor.name, ...persons] : persons)));
  const hashes = new Map((await findPersons(queries, [...names])).map(({ name, name_hash }) => [name, name_hash]));
  for (const name of names) {
    if (hashes.has(name)) continue;
    const salt = randomBytes(16);
    const nameHash = createHash('sha256').update(salt).update(name).digest('hex');
    await insertPerson(queries, { name, salt, name_hash: nameHash });
    hashes.set(name, nameHash);
  }
  return hashes;
}

/** A machine may bear a person's name; with the kind in what is searched for, neither passes for the other. */
function nameActor({ kind, name }: Actor, hashes: ReadonlyMap<string, string>): NamedActor {
  if (kind !== 'person') return { leaf: { kind, name }, search: `${kind}:${name}` };
  const hash = hashes.get(name)!;
  return { leaf: { kind, hash }, search: hash };
}

/** Writes the roots of the tiles that became full: every 256 entries one of level 0, every 65,536 one of level 1, and so on. */
async function completeTiles(queries: Queries, from: number, to: number): Promise<void> {
  let [start, end] = [from, to];
  for (let level = 0; Math.floor(start / TILE_WIDTH) < Math.floor(end / TILE_WIDTH); level++) {
    [start, end] = [Math.floor(start / TILE_WIDTH), Math.floor(end / TILE_WIDTH)];
    for (let index = start; index < end; index++) {
      const hashes = await readNodes(queries, level, index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
      await insertTileRoot(queries, level, index, rootOfFullTile(hashes));
    }
  }
}

/** Nodes [start, end) of a tile level: leaf hashes at level 0, roots of the full tiles below above it. */
export function readNodes(queries: Queries, level: number, start: number, end: number): Promise<Hash[]> {
  return level === 0 ? readLeafHashes(queries, start, end) : readTileRoots(queries, level - 1, start, end);
}

/** Any number will do, as long as nothing else in this database takes it. */
const LOG_LOCK = 6_962_001;
const LEAF_VERSION = 1;
