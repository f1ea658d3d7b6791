import { type Kysely, sql } from 'kysely';
import type { Frontier } from '../../core/merkle/frontier.ts';
import { type Hash, HASH_OCTETS } from '../../core/merkle/hash.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareInsert, prepareListQuery, prepareQuery, type Values } from '../../platform/db/prepared-query.ts';

export type EntryRow = {
  readonly leaf_index: number;
  readonly id: string;
  readonly type: string;
  readonly environment: string;
  readonly region: string;
  readonly actor: string;
  readonly at: Instant;
  readonly leaf: string;
  readonly leaf_hash: Uint8Array;
};

type AuditTables = {
  audit_entries: EntryRow;
  audit_tiles: { level: number; tile_index: number; root: Uint8Array };
  audit_head: { id: number; size: number; subtrees: Uint8Array };
  audit_checkpoints: { size: number; note: string; at: Instant };
  audit_persons: { name: string; salt: Uint8Array; name_hash: string };
};

export type PersonRow = AuditTables['audit_persons'];

export async function readFrontier(queries: Queries): Promise<Frontier> {
  const [row] = (await selectHead(queries, {})).rows;
  if (row === undefined) return { size: 0, subtrees: [] };
  return {
    size: row.size,
    subtrees: Array.from({ length: row.subtrees.length / HASH_OCTETS }, (_, at) =>
      row.subtrees.subarray(at * HASH_OCTETS, (at + 1) * HASH_OCTETS),
    ),
  };
}

/** Moves the head from one size to another; false if it was not there any more, so that nobody appends to a tree that moved. */
export async function moveHead(queries: Queries, from: number, to: Frontier): Promise<boolean> {
  const subtrees = Buffer.concat(to.subtrees);
  if (from === 0) {
    const { numInsertedOrUpdatedRows } = await tables(queries)
      .insertInto('audit_head')
      .values({ id: HEAD, size: to.size, subtrees })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .executeTakeFirstOrThrow();
    return numInsertedOrUpdatedRows === 1n;
  }
  const { numAffectedRows } = await updateHead(queries, { from, size: to.size, subtrees });
  return numAffectedRows === 1n;
}

export const insertEntries = prepareInsert<EntryRow>('audit_entries', [
  'leaf_index',
  'id',
  'type',
  'environment',
  'region',
  'actor',
  'at',
  'leaf',
  'leaf_hash',
]);

export async function readLeafHashes(queries: Queries, start: number, end: number): Promise<Hash[]> {
  const rows = await tables(queries)
    .selectFrom('audit_entries')
    .select('leaf_hash')
    .where('leaf_index', '>=', start)
    .where('leaf_index', '<', end)
    .orderBy('leaf_index')
    .execute();
  return rows.map(({ leaf_hash }) => leaf_hash);
}

export async function readLeaves(queries: Queries, start: number, end: number): Promise<Uint8Array[]> {
  const rows = await tables(queries)
    .selectFrom('audit_entries')
    .select('leaf')
    .where('leaf_index', '>=', start)
    .where('leaf_index', '<', end)
    .orderBy('leaf_index')
    .execute();
  return rows.map(({ leaf }) => Buffer.from(leaf));
}

export async function insertTileRoot(queries: Queries, level: number, index: number, root: Hash): Promise<void> {
  await tables(queries).insertInto('audit_tiles').values({ level, tile_index: index, root }).execute();
}

/** Roots of the full tiles [start, end) of a level: the nodes of the level above. */
export async function readTileRoots(queries: Queries, level: number, start: number, end: number): Promise<Hash[]> {
  const rows = await tables(queries)
    .selectFrom('audit_tiles')
    .select('root')
    .where('level', '=', level)
    .where('tile_index', '>=', start)
    .where('tile_index', '<', end)
    .orderBy('tile_index')
    .execute();
  return rows.map(({ root }) => root);
}

export async function insertCheckpoint(queries: Queries, size: number, note: string, at: Instant): Promise<void> {
  await insertCheckpoints(queries, [{ size, note, at }]);
}

export async function readLatestCheckpoint(queries: Queries): Promise<{ readonly size: number; readonly note: string } | null> {
  return (
    (await tables(queries).selectFrom('audit_checkpoints').select(['size', 'note']).orderBy('size', 'desc').limit(1).executeTakeFirst()) ??
    null
  );
}

export async function findPersons(queries: Queries, names: readonly string[]): Promise<PersonRow[]> {
  const rows: PersonRow[] = [];
  for (let at = 0; at < names.length; at += NAMES_A_QUERY)
    rows.push(...(await selectPersons(queries, names.slice(at, at + NAMES_A_QUERY), {})));
  return rows;
}

export async function findPersonsByHash(queries: Queries, hashes: readonly string[]): Promise<PersonRow[]> {
  return hashes.length === 0 ? [] : tables(queries).selectFrom('audit_persons').selectAll().where('name_hash', 'in', hashes).execute();
}

export async function insertPerson(queries: Queries, person: PersonRow): Promise<void> {
  await tables(queries).insertInto('audit_persons').values(person).execute();
}

export async function deletePerson(queries: Queries, name: string): Promise<boolean> {
  return (await tables(queries).deleteFrom('audit_persons').where('name', '=', name).executeTakeFirstOrThrow()).numDeletedRows === 1n;
}

export type EntryFilter = {
  readonly environments: readonly string[] | null;
  readonly type?: string;
  readonly actor?: string;
  /** Part of the leaf's text, case and all: a serial, an identity. */
  readonly contains?: string;
  readonly from?: Instant;
  readonly to?: Instant;
  /** Entries before this leaf index: the cursor of the next page. */
  readonly before?: number;
  readonly limit: number;
};

/** Newest first. */
export async function selectEntries(queries: Queries, filter: EntryFilter): Promise<Omit<EntryRow, 'leaf_hash'>[]> {
  let query = tables(queries)
    .selectFrom('audit_entries')
    .select(['leaf_index', 'id', 'type', 'environment', 'region', 'actor', 'at', 'leaf'])
    .orderBy('leaf_index', 'desc')
    .limit(filter.limit);
  if (filter.environments !== null) query = query.where('environment', 'in', filter.environments.length === 0 ? [''] : filter.environments);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.actor !== undefined) query = query.where('actor', '=', filter.actor);
  if (filter.from !== undefined) query = query.where('at', '>=', filter.from);
  if (filter.to !== undefined) query = query.where('at', '<', filter.to);
  if (filter.before !== undefined) query = query.where('leaf_index', '<', filter.before);
  if (filter.contains !== undefined && filter.contains !== '') {
    // As JSON writes it. `replace` is in both databases and heeds case in both, which `like` does not.
    query = query.where(sql<boolean>`replace(leaf, ${JSON.stringify(filter.contains).slice(1, -1)}, '') <> leaf`);
  }
  return query.execute();
}

const tables = (queries: Queries): Kysely<AuditTables> => queries.withTables<AuditTables>();
const HEAD = 1;
/** SQLite takes 32,766 parameters, PostgreSQL 65,535. */
const NAMES_A_QUERY = 512;

const selectPersons = prepareListQuery((queries, names: readonly string[]) =>
  tables(queries).selectFrom('audit_persons').selectAll().where('name', 'in', names),
);

const selectHead = prepareQuery((queries) => tables(queries).selectFrom('audit_head').selectAll().where('id', '=', sql.lit(HEAD)));

const updateHead = prepareQuery((queries, value: Values<{ from: number; size: number; subtrees: Uint8Array }>) =>
  tables(queries)
    .updateTable('audit_head')
    .set({ size: value('size'), subtrees: value('subtrees') })
    .where('id', '=', sql.lit(HEAD))
    .where('size', '=', value('from')),
);

const insertCheckpoints = prepareInsert<AuditTables['audit_checkpoints']>('audit_checkpoints', ['size', 'note', 'at']);
