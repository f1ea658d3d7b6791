import { type DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { TurnSnapshot } from './turn-snapshot.ts';

/** Kysely over one node:sqlite connection that is used by one caller at a time; prepared statements are kept. */
export class SqliteDialect implements Dialect {
  readonly #connection: SqliteConnection;

  /** Each query is read in `snapshot`, if there is one given. */
  constructor(database: DatabaseSync, snapshot: TurnSnapshot | null = null) {
    this.#connection = new SqliteConnection(database, snapshot);
  }

  get connection(): DatabaseConnection {
    return this.#connection;
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter();
  }

  createDriver(): Driver {
    const connection = this.#connection;
    return {
      init: async () => undefined,
      acquireConnection: async () => connection,
      releaseConnection: async () => undefined,
      beginTransaction: async () => connection.run('BEGIN IMMEDIATE'),
      commitTransaction: async () => connection.run('COMMIT'),
      rollbackTransaction: async () => connection.run('ROLLBACK'),
      destroy: async () => connection.close(),
    };
  }

  createIntrospector(db: Kysely<any>): DatabaseIntrospector {
    return new SqliteIntrospector(db);
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }
}

type Prepared = { readonly statement: StatementSync; readonly hasRows: boolean };

class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #snapshot: TurnSnapshot | null;
  readonly #statements = new Map<string, Prepared>();

  constructor(database: DatabaseSync, snapshot: TurnSnapshot | null) {
    this.#database = database;
    this.#snapshot = snapshot;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { statement, hasRows } = this.#prepare(sql);
    const values = parameters.map(toSqlite);
    this.#snapshot?.begin();
    if (hasRows) return { rows: statement.all(...values) as R[] };
    const { changes, lastInsertRowid } = statement.run(...values);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    for (const row of this.#prepare(query.sql).statement.iterate(...query.parameters.map(toSqlite))) yield { rows: [row as R] };
  }

  run(sql: string): void {
    this.#prepare(sql).statement.run();
  }

  close(): void {
    this.#snapshot?.end();
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  /** The least recently used statement gives way: a map keeps its keys in the order in which they were set. */
  #prepare(sql: string): Prepared {
    let prepared = this.#statements.get(sql);
    // While there is room for all, their order is of no interest, and costs more than the look did.
    if (prepared !== undefined && this.#statements.size <= MAXIMUM_STATEMENTS / 2) return prepared;
    if (prepared === undefined) {
      const statement = this.#database.prepare(sql);
      prepared = { statement, hasRows: statement.columns().length > 0 };
      if (this.#statements.size >= MAXIMUM_STATEMENTS) this.#statements.delete(this.#statements.keys().next().value!);
    } else {
      this.#statements.delete(sql);
    }
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

/** SQLite knows no booleans and no typed arrays but octets. */
function toSqlite(value: unknown): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value === undefined) return null;
  return value as SQLInputValue;
}

/** More texts than the stores have; a bound all the same. */
const MAXIMUM_STATEMENTS = 500;
