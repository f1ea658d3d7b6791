import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe } from 'node:test';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { memoryFolder } from './memory-folder.ts';
import { findPostgres, joinCluster, type PostgresCluster, startCluster } from './postgres-cluster.ts';

/** Gives the address of a new database each time: with all tables as they are now, made once and copied, or `empty`, for tests of migrations. */
export type NewDatabaseUrl = (kind?: 'migrated' | 'empty') => Promise<string>;

/**
 * Runs a group of tests once on SQLite and once on PostgreSQL. Where there is no PostgreSQL the second run is skipped by name;
 * with CI=true it fails. All groups share one cluster: that of the whole run, or of this process where a file is run alone.
 */
export function forEachDatabase(name: string, tests: (newUrl: NewDatabaseUrl, kind: 'sqlite' | 'postgres') => void): void {
  describe(`${name} on SQLite`, () => {
    const folder = mkdtempSync(join(memoryFolder(), 'countersign-db-'));
    let count = 0;
    after(() => rmSync(folder, { recursive: true, force: true }));
    tests(async (kind = 'migrated') => {
      const file = join(folder, `${count++}.sqlite`);
      if (kind === 'migrated') copyFileSync(await (migrated ??= migrateFile()), file);
      return `sqlite:${file}`;
    }, 'sqlite');
  });
  const skip = postgres === null && process.env['CI'] !== 'true' ? 'no PostgreSQL here' : false;
  describe(`${name} on PostgreSQL`, { skip }, () => {
    tests(async (kind = 'migrated') => {
      const shared = await sharedCluster();
      return shared.createDatabase(undefined, kind === 'empty' ? undefined : await (template ??= shared.ensureTemplate(migrate)));
    }, 'postgres');
  });
}

async function migrate(url: string): Promise<void> {
  await (await openDatabase({ url }))[Symbol.asyncDispose]();
}

/** A file of SQLite that this process copies for each test. */
async function migrateFile(): Promise<string> {
  migratedFolder = mkdtempSync(join(memoryFolder(), 'countersign-db-'));
  const file = join(migratedFolder, 'migrated.sqlite');
  await migrate(`sqlite:${file}`);
  return file;
}

function sharedCluster(): Promise<PostgresCluster> {
  if (postgres === null) throw new Error('PostgreSQL is missing, and with CI=true nothing may be left out');
  const url = process.env['COUNTERSIGN_TEST_CLUSTER'];
  return (cluster ??= url === undefined ? startCluster(postgres) : Promise.resolve(joinCluster(url)));
}

const postgres = await findPostgres();
let cluster: Promise<PostgresCluster> | null = null;
let template: Promise<string> | null = null;
let migrated: Promise<string> | null = null;
let migratedFolder: string | null = null;
after(async () => {
  if (migratedFolder !== null) rmSync(migratedFolder, { recursive: true, force: true });
  await (await cluster)?.stop();
});
