import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { Problem } from '../../core/problems/problem.ts';
import type { Database, Queries, Seal } from './database.ts';
import { permitDirectExecution } from './direct-execution.ts';
import { GroupCommit } from './group-commit.ts';
import { SqliteDialect } from './sqlite-dialect.ts';
import { statementRunner } from './statement-runner.ts';
import { TurnSnapshot } from './turn-snapshot.ts';

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
    // What a savepoint would put back is kept in memory: in a file it is three times the pages that the commit itself writes, for a rollback only.
    writerFile.exec(`PRAGMA temp_store = MEMORY; PRAGMA cache_size = -${WRITER_CACHE_KIB}`);
    checkDurability(writerFile);
  } catch (error) {
    writerFile.close();
    throw error;
  }
  const readerFile = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  readerFile.exec('PRAGMA query_only = ON');
  const snapshot = new TurnSnapshot(readerFile, statementRunner(readerFile));
  const writer = openQueries(new SqliteDialect(writerFile));
  const reader = openQueries(new SqliteDialect(readerFile, snapshot));
  const run = statementRunner(writerFile);
  const commits = new GroupCommit<Staged>(async () => {
    // There is one writer at a time, of all processes: every commit is a fence.
    run('BEGIN IMMEDIATE');
    return {
      queries: writer,
      run: async (sql) => run(sql),
      commit: async () => {
        // A reader from before would hold up the checkpoint, and would not see what is answered after it.
        snapshot.end();
        run('COMMIT');
      },
      rollback: async () => run('ROLLBACK'),
    };
  }, seal);
  const database: Database<Staged> = {
    kind: 'sqlite',
    queries: reader,
    snapshot: () => snapshot.current,
    commit: (unit, alone) => commits.commit(unit, alone),
    commitFenced: (unit) => commits.commitFenced(unit),
    async [Symbol.asyncDispose]() {
      await commits.idle();
      snapshot.end();
      await reader.destroy();
      await writer.destroy();
      // Kysely closes only what it had to open itself.
      for (const file of [readerFile, writerFile]) if (file.isOpen) file.close();
    },
  };
  return { database, migrate: writer };
}

function openQueries(dialect: SqliteDialect): Queries {
  const queries: Queries = new Kysely({ dialect });
  permitDirectExecution(queries, dialect.connection);
  return queries;
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
/** The pages that a batch touches; with the 2 MiB of SQLite's own they are written early, and read again. */
const WRITER_CACHE_KIB = 32_768;
const BUSY_TIMEOUT_MS = 10_000;
