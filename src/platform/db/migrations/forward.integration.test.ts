import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import type { EntityId } from '../../../core/ids/entity-id.ts';
import { findGrant, findGrantBySecret, findUsedGrant, takeUse } from '../../../control/grants/store.ts';
import { openPostgresDatabase } from '../postgres-database.ts';
import { openSqliteDatabase } from '../sqlite-database.ts';
import { migrations } from './index.ts';

forEachDatabase('migrations of a database that is in use', (newUrl, kind) => {
  /** A database as some release left it. */
  const openAt = async (name: string) => {
    const url = await newUrl('empty');
    const { database, migrate } =
      kind === 'sqlite' ? openSqliteDatabase<never>(url.slice('sqlite:'.length), null) : await openPostgresDatabase<never>(url, null);
    const migrator = new Migrator({ db: migrate, provider: { getMigrations: async () => migrations } });
    assert.equal((await migrator.migrateTo(name)).error, undefined);
    const run = async (text: string) =>
      (await sql.raw<{ [column: string]: unknown }>(text).execute(migrate)).rows.map((row) => ({ ...row }));
    return { database, migrator, run, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
  };

  test('keep what was counted, and let no approval count whose token nobody knows', async () => {
    await using old = await openAt('0021-external-revocations');
    const { migrator, run } = old;
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

  test('keep every one-time grant of every door as it was: open, used, revoked or ended', async () => {
    await using old = await openAt('0033-scep');
    const { database, migrator, run } = old;
    await run(`insert into acme_binding_tokens (id, name, role, environment, region, created_at, expires_at, account_id, used_at, revoked_at) values
      ('token_a1', 'web', 'partner-manager', 'production', 'local', 1, 100, null, null, null),
      ('token_a2', 'ada', 'ci', 'production', 'local', 1, 100, 'account_1', 5, null),
      ('token_a3', 'web', 'ci', 'staging', 'local', 1, 100, null, null, 6)`);
    await run(`insert into access_tokens (id, kind, name, role, scope, environment, region, secret_sha256, created_at)
      values ('token_m', 'named', 'mdm', 'ci', '"*"', 'production', 'local', ${blobOf(kind, '09')}, 1)`);
    await run(`insert into cmp_secrets (id, name, role, environment, region, profile, spiffe_id, dns_names, ip_addresses, max_lifetime_ms, uses, used,
      created_at, expires_at, revoked_at) values
      ('token_c1', 'printers', 'ci', 'production', 'local', 'server', null, '["a.example","b.example"]', '["192.0.2.7"]', 1000, 3, 2, 1, 100, null),
      ('token_c2', 'camera', 'operator', 'production', 'local', 'workload', 'spiffe://a/b/c', '[]', '[]', 1000, 1, 1, 1, 100, 7)`);
    await run(`insert into scep_challenges (id, environment, region, profile, spiffe_id, names, secret_sha256, maker, maker_role, token_id, created_at, expires_at,
      revoked_at, used_at, spki_sha256, transaction_id, request_id, issuer_key_sha256, serial) values
      ('token_s1', 'production', 'local', 'server', null, '{"dns":["a.example"],"ip":[]}', ${blobOf(kind, '01')}, 'mdm', 'ci', 'token_m', 1, 100, null, null, null, null, null, null, null),
      ('token_s2', 'production', 'local', 'server', null, '{"dns":["a.example"],"ip":[]}', ${blobOf(kind, '02')}, 'ada', 'operator', 'token_p', 1, 100, null, 8, 'aa', 'one', 'request_1', 'cc', ${blobOf(kind, '03')})`);
    assert.equal((await migrator.migrateToLatest()).error, undefined);
    const { queries } = database;
    const here = { environment: 'production', region: 'local', createdAt: 1, expiresAt: 100, revokedAt: null };
    const fresh = { ...here, maker: null, lastUse: null, uses: 1, used: 0 };
    const names = { dns: ['a.example'], ip: [] };
    const server = { profile: 'server', spiffeId: null, names, maxLifetimeMs: null };
    assert.deepEqual(await findGrant(queries, 'acme', 'token_a1'), {
      ...fresh,
      id: 'token_a1',
      door: 'acme',
      name: 'web',
      role: 'partner-manager',
      bounds: null,
    });
    const used = await findGrant(queries, 'acme', 'token_a2');
    assert.deepEqual([used?.used, used?.lastUse?.at, used?.lastUse?.by], [1, 5, 'account_1']);
    assert.equal((await findGrant(queries, 'acme', 'token_a3'))?.revokedAt, 6);
    assert.deepEqual(await findGrant(queries, 'cmp', 'token_c1'), {
      ...fresh,
      id: 'token_c1',
      door: 'cmp',
      name: 'printers',
      role: 'ci',
      bounds: { ...server, names: { dns: ['a.example', 'b.example'], ip: ['192.0.2.7'] }, maxLifetimeMs: 1_000 },
      uses: 3,
      used: 2,
    });
    const camera = await findGrant(queries, 'cmp', 'token_c2');
    assert.deepEqual([camera?.bounds?.spiffeId, camera?.role, camera?.used, camera?.revokedAt], ['spiffe://a/b/c', 'operator', 1, 7]);
    assert.deepEqual(await findGrantBySecret(queries, 'scep', Buffer.alloc(32, 1)), {
      ...fresh,
      id: 'token_s1',
      door: 'scep',
      name: null,
      role: 'ci',
      bounds: server,
      maker: { name: 'mdm', kind: 'machine', tokenId: 'token_m' },
    });
    const answered = await findUsedGrant(queries, 'scep', { spkiSha256: 'aa', by: 'one' });
    const { maker, lastUse } = answered!;
    assert.deepEqual([answered?.id, answered?.used, maker?.kind, maker?.tokenId], ['token_s2', 1, 'person', 'token_p']);
    assert.deepEqual([lastUse?.at, lastUse?.requestId, lastUse?.certificate?.issuerKeySha256], [8, 'request_1', 'cc']);
    assert.deepEqual(Buffer.from(lastUse!.certificate!.serial), Buffer.alloc(32, 3));
    // Nothing is kept twice, and what is used once still is.
    for (const table of ['acme_binding_tokens', 'cmp_secrets', 'scep_challenges'])
      await assert.rejects(run(`select * from ${table}`), table);
    const take = ([door, id]: readonly ['acme' | 'cmp' | 'scep', EntityId<'token'>]) =>
      database.commit((unit) => takeUse(unit.queries, { id, door, by: 'x', spkiSha256: null }, 50));
    for (const grant of [
      ['acme', 'token_a1'],
      ['cmp', 'token_c1'],
      ['scep', 'token_s1'],
    ] as const)
      assert.deepEqual([await take(grant), await take(grant)], [true, false], grant[1]);
    for (const grant of [
      ['acme', 'token_a2'],
      ['acme', 'token_a3'],
      ['cmp', 'token_c2'],
      ['scep', 'token_s2'],
    ] as const)
      assert.equal(await take(grant), false, grant[1]);
  });
});

/** 32 equal octets as SQL. */
function blobOf(kind: 'sqlite' | 'postgres', octet: string): string {
  return kind === 'sqlite' ? `x'${octet.repeat(32)}'` : `decode('${octet.repeat(32)}', 'hex')`;
}
