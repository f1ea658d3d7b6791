import { createHash } from 'node:crypto';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { Problem } from '../../core/problems/problem.ts';
import type { Database, Queries, Seal } from './database.ts';
import { type BatchNeeds, GroupCommit, type WriterTransaction } from './group-commit.ts';

/**
 * Opens a PostgreSQL database. A connection lost during COMMIT leaves the outcome unknown: the caller gets the error, and nothing is
 * tried again here. The next commit takes a new connection. @throws database-unsafe when the server's settings could lose a commit
 */
export async function openPostgresDatabase<Staged>(
  url: string,
  seal: Seal<Staged> | null,
): Promise<{ readonly database: Database<Staged>; readonly migrate: Queries }> {
  const pool = new pg.Pool({
    connectionString: url,
    max: MAXIMUM_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
    types: { getTypeParser },
  });
  // A connection that breaks is replaced by the pool. Without listeners the event would end the process: the pool listens to idle
  // connections only, so one that breaks between two statements of a unit needs a listener of its own; the next statement rejects.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => void client.on('error', () => undefined));
  const queries: Queries = new Kysely({ dialect: new PostgresDialect({ pool }) });
  try {
    await checkDurability(queries);
  } catch (error) {
    await queries.destroy();
    throw error;
  }
  const commits = new GroupCommit<Staged>((needs) => beginTransaction(queries, needs), seal);
  const database: Database<Staged> = {
    kind: 'postgres',
    queries,
    snapshot: () => null,
    commit: (unit, alone) => commits.commit(unit, alone),
    commitFenced: (unit) => commits.commitFenced(unit),
    async [Symbol.asyncDispose]() {
      await commits.idle();
      await queries.destroy();
    },
  };
  return { database, migrate: queries };
}

/**
 * Shared by commits, exclusive for a fence, until the transaction ends. At READ COMMITTED each statement after it sees what was committed before it was given;
 * PostgreSQL lets no sharer past a fence that waits. Taken first and once, so that nothing which holds it waits for it.
 */
async function beginTransaction(queries: Queries, { isFence, alone }: BatchNeeds): Promise<WriterTransaction> {
  const transaction = await queries.startTransaction().execute();
  try {
    const lock = sql.raw(isFence ? 'pg_advisory_xact_lock' : 'pg_advisory_xact_lock_shared');
    await sql`select ${lock}(${FENCE_LOCK})`.execute(transaction);
    // A fence is alone with everything.
    if (!isFence && alone.length > 0) await lockAll(transaction, alone);
  } catch (error) {
    await transaction.rollback().execute();
    throw error;
  }
  return {
    queries: transaction,
    run: async (text) => void (await sql.raw(text).execute(transaction)),
    commit: async () => transaction.commit().execute(),
    rollback: async () => transaction.rollback().execute(),
  };
}

/** All at once and in one order, whatever the order in which units need them: so nobody waits for who waits for him. */
async function lockAll(transaction: Queries, names: readonly string[]): Promise<void> {
  const keys = [...new Set(names.map(lockKeyOf))].toSorted();
  await sql`select pg_advisory_xact_lock(key) from (select unnest(${keys}::bigint[]) as key order by 1) as sorted`.execute(transaction);
}

/** Two names that share one lock, which is unlikely, only wait for each other. */
function lockKeyOf(name: string): string {
  return createHash('sha256').update(name).digest().readBigInt64BE().toString();
}

/** `synchronous_commit` off loses the last commits in a crash; `fsync` or `full_page_writes` off may lose the database. */
async function checkDurability(queries: Queries): Promise<void> {
  const { rows } = await sql<{ name: string; setting: string }>`
    select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit')`.execute(queries);
  for (const { name, setting } of rows) {
    if (setting === 'off') throw new Problem('database-unsafe', `Cannot use PostgreSQL: ${name} is off, expected on`);
  }
}

/** Instants and counts are int8; they stay below 2^53 and come as numbers. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: never) => unknown {
  if (oid === pg.types.builtins.INT8 && format !== 'binary') return Number;
  return pg.types.getTypeParser(oid, format as 'text') as (value: never) => unknown;
}

const MAXIMUM_CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 10_000;
/** Any number will do, as long as nothing else in this database takes it. */
const FENCE_LOCK = 6_962_002;
/** A replica that hangs inside a commit holds its locks; the server ends its session, so that the others go on. */
const IDLE_TRANSACTION_MS = 30_000;
