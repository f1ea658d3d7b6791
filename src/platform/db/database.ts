import type { Kysely } from 'kysely';

/** A query builder without tables; each `store.ts` adds its own by `queries.withTables<…>()`. */
export type Queries = Kysely<Record<never, never>>;

/** One use case's part of a group commit: all of it is kept, or none. */
export type UnitOfWork<Staged> = {
  readonly queries: Queries;
  /** Hands something to the sealer, which sees it after all units of this commit ran, in order, if this unit succeeds. */
  stage(item: Staged): void;
};

/** A unit of `commitFenced`, at compile time: what forbids something to the units of others asks for one. */
export type FencedUnit<Staged> = UnitOfWork<Staged> & { readonly [fenced]: true };
declare const fenced: unique symbol;

/** Runs once in every group commit that staged something, last, in the same transaction. */
export type Seal<Staged> = (queries: Queries, staged: readonly Staged[]) => Promise<void>;

/**
 * The one database port. Two implementations: `sqlite-database.ts`, `postgres-database.ts`.
 * Durability: when `commit` resolves, its unit is on disk (SQLite: WAL with synchronous=FULL; PostgreSQL: synchronous_commit=on).
 * Ordering: units of one process run one after another; concurrent calls share one transaction and one flush.
 * Between processes: commits run side by side on PostgreSQL, but none beside a fenced one. A unit that looks before it writes has either been committed
 * when a fence begins, or sees in every statement what the fence left.
 * Rows that units of several processes change in any order are named as `alone` beforehand: of the units that name one, in whatever process, one batch runs at
 * a time, and no two batches wait for each other.
 * Retries: none; a unit that throws is rolled back alone (savepoint) and its error goes to its caller.
 * Inside a unit only the database may be awaited, and a statement that failed ends it: PostgreSQL takes no more after one.
 */
export type Database<Staged = never> = {
  readonly kind: 'sqlite' | 'postgres';
  /** Committed state only; not for use inside a unit. */
  readonly queries: Queries;
  /** Names what reads of `queries` see: as long as the name stays, they all see the same. Null: the next read may see something else. */
  snapshot(): number | null;
  commit<T>(unit: (work: UnitOfWork<Staged>) => Promise<T>, alone?: readonly string[]): Promise<T>;
  /** Waits for the commits that are open in any process, and keeps others from beginning until it is through. */
  commitFenced<T>(unit: (work: FencedUnit<Staged>) => Promise<T>): Promise<T>;
  [Symbol.asyncDispose](): Promise<void>;
};
