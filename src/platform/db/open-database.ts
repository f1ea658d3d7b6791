import { Migrator } from 'kysely/migration';
import { Problem } from '../../core/problems/problem.ts';
import type { Database, Seal } from './database.ts';
import { migrations } from './migrations/index.ts';
import { openPostgresDatabase } from './postgres-database.ts';
import { openSqliteDatabase } from './sqlite-database.ts';

export type DatabaseOptions<Staged> = {
  /** `sqlite:PATH` or `postgres://…`. */
  readonly url: string;
  readonly seal?: Seal<Staged>;
};

/** Opens the database and brings its tables up to date. @throws database-unsafe, input-invalid */
export async function openDatabase<Staged>({ url, seal }: DatabaseOptions<Staged>): Promise<Database<Staged>> {
  const { database, migrate } = await openByScheme(url, seal ?? null);
  const migrator = new Migrator({ db: migrate, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    await database[Symbol.asyncDispose]();
    throw new Problem('internal', 'Cannot migrate database: a migration failed', { cause: error });
  }
  return database;
}

async function openByScheme<Staged>(url: string, seal: Seal<Staged> | null) {
  // Reader and writer are two connections, so a database in memory would be two databases.
  if (/^sqlite:[^:]/.test(url)) return openSqliteDatabase(url.slice('sqlite:'.length), seal);
  if (/^postgres(ql)?:\/\//.test(url)) return openPostgresDatabase(url, seal);
  throw new Problem('input-invalid', 'Cannot open database: unknown address, expected sqlite:PATH or postgres://…');
}
