import type { Queries } from '../../platform/db/database.ts';
import type { Instant } from '../../core/time/instant.ts';
import { personHashesIn } from './hide-persons.ts';
import { type EntryFilter, findPersons, findPersonsByHash, selectEntries } from './store.ts';

/** What an auditor asks; every part is optional but the scope. A person is named in clear; `actor` is as in `FoundEntry`, erased ones included. */
export type EntrySearch = Omit<EntryFilter, 'limit'> & { readonly person?: string; readonly limit?: number };

export type FoundEntry = {
  readonly leafIndex: number;
  readonly id: string;
  readonly type: string;
  readonly environment: string;
  readonly region: string;
  readonly at: Instant;
  /** A person's clear name where it is not erased, else its hash; of others `machine:NAME` or `system:NAME`. */
  readonly actor: string;
  /** The leaf as it stands in the tree. */
  readonly leaf: string;
  /** The clear names of persons that its data names by hash; the erased ones are not among them. */
  readonly persons: { readonly [hash: string]: string };
};

export type EntryPage = { readonly entries: readonly FoundEntry[]; readonly next: number | null };

/** Entries, newest first, a page at a time. */
export async function searchEntries(queries: Queries, search: EntrySearch): Promise<EntryPage> {
  const { person, ...filter } = search;
  // PostgreSQL has no text with a zero in it, so no entry has one either.
  if ([person, filter.type, filter.actor].some((text) => text?.includes('\0'))) return { entries: [], next: null };
  const limit = Math.min(Math.max(1, search.limit ?? DEFAULT_LIMIT), MAXIMUM_LIMIT);
  const actor = person === undefined ? search.actor : (await findPersons(queries, [person]))[0]?.name_hash;
  if (person !== undefined && actor === undefined) return { entries: [], next: null };
  const rows = await selectEntries(queries, { ...filter, ...(actor === undefined ? {} : { actor }), limit: limit + 1 });
  const page = rows.slice(0, limit);
  const named = page.map((row) => personHashesIn(row.leaf));
  const hashes = new Set([...page.map((row) => row.actor), ...named.flat()]);
  const names = new Map((await findPersonsByHash(queries, [...hashes])).map((row) => [row.name_hash, row.name]));
  return {
    entries: page.map(({ leaf_index: leafIndex, actor: by, ...row }, at) => ({
      ...row,
      leafIndex,
      actor: names.get(by) ?? by,
      persons: Object.fromEntries(named[at]!.flatMap((hash) => (names.has(hash) ? [[hash, names.get(hash)!]] : []))),
    })),
    next: rows.length > limit ? page.at(-1)!.leaf_index : null,
  };
}

const DEFAULT_LIMIT = 100;
const MAXIMUM_LIMIT = 1_000;
