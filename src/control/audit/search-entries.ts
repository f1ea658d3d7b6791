import type { Queries } from '../../platform/db/database.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type EntryFilter, findPersons, findPersonsByHash, selectEntries } from './store.ts';

/** What an auditor asks; every part is optional but the scope. */
export type EntrySearch = Omit<EntryFilter, 'actor' | 'limit'> & { readonly person?: string; readonly limit?: number };

export type FoundEntry = {
  readonly leafIndex: number;
  readonly id: string;
  readonly type: string;
  readonly environment: string;
  readonly region: string;
  readonly at: Instant;
  /** The clear name where it is not erased, else the hash. */
  readonly actor: string;
  /** The leaf as it stands in the tree. */
  readonly leaf: string;
};

export type EntryPage = { readonly entries: readonly FoundEntry[]; readonly next: number | null };

/** Entries, newest first, a page at a time. */
export async function searchEntries(queries: Queries, search: EntrySearch): Promise<EntryPage> {
  const { person, ...filter } = search;
  const limit = Math.min(Math.max(1, search.limit ?? DEFAULT_LIMIT), MAXIMUM_LIMIT);
  const actor = person === undefined ? undefined : (await findPersons(queries, [person]))[0]?.name_hash;
  if (person !== undefined && actor === undefined) return { entries: [], next: null };
  const rows = await selectEntries(queries, { ...filter, ...(actor === undefined ? {} : { actor }), limit: limit + 1 });
  const page = rows.slice(0, limit);
  const names = new Map(
    (await findPersonsByHash(queries, [...new Set(page.map((row) => row.actor))])).map((row) => [row.name_hash, row.name]),
  );
  return {
    entries: page.map(({ leaf_index: leafIndex, actor: by, ...row }) => ({ ...row, leafIndex, actor: names.get(by) ?? by })),
    next: rows.length > limit ? page.at(-1)!.leaf_index : null,
  };
}

const DEFAULT_LIMIT = 100;
const MAXIMUM_LIMIT = 1_000;
