import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { Problem } from '../../core/problems/problem.ts';
import type { Database, Queries, Seal } from './database.ts';
import { GroupCommit } from './group-commit.ts';
import { SqliteDialect } from './sqlite-dialect.ts';

/**
 * Opens a SQLite file with a writer and a reader connection; makes it, for its owner only, if there is none.
 * @throws database-unsafe when its settings could lose a commit, input-invalid if the path names no file that can be opened
 */
export function openSqliteDatabase<Staged>(
  path: string,
  seal: Seal<Staged> | null,
): { readonly database: Database<Staged>; readonly migrate: Queries } {
  makeFile(path);
  const writerFile = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    writerFile.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 4000');
    checkDurability(writerFile);
  } catch (error) {
    writerFile.close();
    throw error;
  }
  const readerFile = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  readerFile.exec('PRAGMA query_only = ON');
  const writer: Queries = new Kysely({ dialect: new SqliteDialect(writerFile) });
  const reader: Queries = new Kysely({ dialect: new SqliteDialect(readerFile) });
  const run = statementRunner(writerFile);
  const commits = new GroupCommit<Staged>(async () => {
    run('BEGIN IMMEDIATE');
    return {
      queries: writer,
      run: async (sql) => run(sql),
      commit: async () => run('COMMIT'),
      rollback: async () => run('ROLLBACK'),
    };
  }, seal);
  const database: Database<Staged> = {
    kind: 'sqlite',
    queries: reader,
    commit: (unit) => commits.commit(unit),
    async [Symbol.asyncDispose]() {
      await commits.idle();
      await reader.destroy();
      await writer.destroy();
    },
  };
  return { database, migrate: writer };
}

/** Runs the few statements of transactions, each prepared once. */
function statementRunner(file: DatabaseSync): (sql: string) => void {
  const statements = new Map<string, StatementSync>();
  return (sql) => {
    const statement = statements.get(sql) ?? file.prepare(sql);
    statements.set(sql, statement);
    statement.run();
  };
}

/** SQLite would create the file by the umask; the WAL gets the mode of the database. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, 'a', OWNER_ONLY));
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot open database: ${JSON.stringify(path)} cannot be written, expected a file of this user`, {
      cause,
    });
  }
}

/** WAL with synchronous=FULL flushes at every commit; anything weaker may answer before the disk has it. */
export function checkDurability(file: DatabaseSync): void {
  const journal = file.prepare('PRAGMA journal_mode').get()?.['journal_mode'];
  const synchronous = file.prepare('PRAGMA synchronous').get()?.['synchronous'];
  if (journal !== 'wal' || synchronous !== FULL) {
    throw new Problem(
      'database-unsafe',
      `Cannot use SQLite: journal_mode ${String(journal)}, synchronous ${String(synchronous)}, expected wal and ${FULL}`,
    );
  }
}

const FULL = 2;
const OWNER_ONLY = 0o600;
const BUSY_TIMEOUT_MS = 10_000;
