import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe } from 'node:test';
import { findPostgres, joinCluster, type PostgresCluster, startCluster } from './postgres-cluster.ts';

/** Gives the address of a new, empty database each time. */
export type NewDatabaseUrl = () => Promise<string>;

/**
 * Runs a group of tests once on SQLite and once on PostgreSQL. Where there is no PostgreSQL the second run is skipped by name;
 * with CI=true it fails. All groups share one cluster: that of the whole run, or of this process where a file is run alone.
 */
export function forEachDatabase(name: string, tests: (newUrl: NewDatabaseUrl, kind: 'sqlite' | 'postgres') => void): void {
  describe(`${name} on SQLite`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-db-'));
    let count = 0;
    after(() => rmSync(folder, { recursive: true, force: true }));
    tests(async () => `sqlite:${join(folder, `${count++}.sqlite`)}`, 'sqlite');
  });
  const skip = postgres === null && process.env['CI'] !== 'true' ? 'no PostgreSQL here' : false;
  describe(`${name} on PostgreSQL`, { skip }, () => {
    tests(async () => (await sharedCluster()).createDatabase(), 'postgres');
  });
}

function sharedCluster(): Promise<PostgresCluster> {
  if (postgres === null) throw new Error('PostgreSQL is missing, and with CI=true nothing may be left out');
  const url = process.env['COUNTERSIGN_TEST_CLUSTER'];
  return (cluster ??= url === undefined ? startCluster(postgres) : Promise.resolve(joinCluster(url)));
}

const postgres = await findPostgres();
let cluster: Promise<PostgresCluster> | null = null;
after(async () => (await cluster)?.stop());
