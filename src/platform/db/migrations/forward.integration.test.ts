import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { openPostgresDatabase } from '../postgres-database.ts';
import { openSqliteDatabase } from '../sqlite-database.ts';
import { migrations } from './index.ts';

forEachDatabase('migrations of a database that is in use', (newUrl, kind) => {
  test('keep what was counted, and let no approval count whose token nobody knows', async () => {
    const url = await newUrl();
    const isSqlite = kind === 'sqlite';
    const { database, migrate } = isSqlite
      ? openSqliteDatabase<never>(url.slice('sqlite:'.length), null)
      : await openPostgresDatabase<never>(url, null);
    await using _database = database;
    const migrator = new Migrator({ db: migrate, provider: { getMigrations: async () => migrations } });
    assert.equal((await migrator.migrateTo('0021-external-revocations')).error, undefined);
    const run = async (text: string) =>
      (await sql.raw<{ [column: string]: unknown }>(text).execute(migrate)).rows.map((row) => ({ ...row }));
    for (const bucket of [1, 2])
      await run(`insert into telemetry_counts (environment, region, bucket_at, width_ms, endpoint_id, side, caller, channel, unit, outcome, reason, generation, count)
        values ('production', 'local', ${bucket}, 60000, 'endpoint_1', 'receiver', 'caller', 'mtls', 'call', 'accepted', '', 1, 7)`);
    await run(`insert into issuance_approvals (request_id, approver, at) values ('request_1', 'ada', 1)`);
    await run(`insert into declared_proxies (id, environment, region, name, service_id, spiffe_id, role, inbound, outbound)
      values ('proxy_1', 'production', 'local', 'a', 'service_1', 'spiffe://a/b', 'sidecar', '[]', '[]')`);
    assert.equal((await migrator.migrateToLatest()).error, undefined);
    assert.deepEqual(await run('select bucket_at, exception, count from telemetry_counts order by bucket_at'), [
      { bucket_at: 1, exception: '', count: 7 },
      { bucket_at: 2, exception: '', count: 7 },
    ]);
    assert.deepEqual(await run('select approver, token_id from issuance_approvals'), [{ approver: 'ada', token_id: null }]);
    assert.deepEqual(await run('select name, plane from declared_proxies'), [{ name: 'a', plane: 'native' }]);
    assert.deepEqual(await run('select value from acme_account_revision'), [{ value: 0 }]);
  });
});
