import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { joinRequest, openTestAuthorities, orders } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { HOUR_MS, SECOND_MS } from '../../core/time/instant.ts';
import { issueCertificate } from '../ca/issue-certificate.ts';
import type { IssuedCertificate } from '../ca/issuance-request.ts';
import { readServing, searchServed, servedQuery } from './search-served.ts';
import { putServed, type ServedRow } from './store.ts';

const now = 1_800_000_000_000;
const everywhere = { environments: '*', limit: 100 } as const;

function servedRow(certificate: IssuedCertificate, change: Partial<ServedRow> = {}): ServedRow {
  return {
    proxy_id: 'proxy_00000000000000000000000001',
    endpoint_id: 'endpoint_00000000000000000000000001',
    environment: 'production',
    region: 'local',
    issuer_key_sha256: certificate.issuerKeySha256,
    serial: certificate.serialHex,
    serial_octets: certificate.serial,
    not_after: certificate.notAfter,
    seen_at: now,
    ...change,
  };
}

forEachDatabase('what is served, and where', (newUrl, kind) => {
  test('finds what some proxy serves and what none does, page after page, and says where', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now - HOUR_MS);
    const issued: IssuedCertificate[] = [];
    for (let count = 0; count < 4; count++) issued.push(await issueCertificate(ca, joinRequest(), now + count * SECOND_MS));
    const [old, other, current, foreign] = issued as [IssuedCertificate, IssuedCertificate, IssuedCertificate, IssuedCertificate];
    const second = { endpoint_id: 'endpoint_00000000000000000000000002' } as const;
    await ca.database.commit(async ({ queries }) => {
      await putServed(queries, [servedRow(old), servedRow(other, second)]);
      // The proxy's next report takes the place of the one before.
      await putServed(queries, [servedRow(current, { seen_at: now + 1 })]);
      // The serial of ours, said to be another issuer's.
      await putServed(queries, [servedRow(foreign, { proxy_id: 'proxy_00000000000000000000000002', issuer_key_sha256: '0'.repeat(64) })]);
    });
    const { queries } = ca.database;
    const serials = async (served: 'yes' | 'no', change: object = {}): Promise<readonly string[]> =>
      (await searchServed(queries, { ...everywhere, ...change }, served)).map(({ serial }) => Buffer.from(serial).toString('hex'));
    assert.deepEqual(await serials('yes'), [current.serialHex, other.serialHex]);
    assert.deepEqual(await serials('no'), [foreign.serialHex, old.serialHex]);
    assert.deepEqual(await serials('yes', { limit: 1 }), [current.serialHex]);
    assert.deepEqual(await serials('yes', { before: { reservedAt: now + 2 * SECOND_MS, serial: current.serial } }), [other.serialHex]);
    assert.deepEqual(await serials('yes', { spiffeId: orders, door: 'rest' }), []);
    assert.deepEqual(await serials('yes', { environments: ['stage'] }), []);
    assert.deepEqual(await serials('no', { environments: [] }), []);
    const serving = await readServing(queries, issued);
    assert.deepEqual(
      [...serving].map(([serial, seen]) => [serial, seen.map(({ endpointId, seenAt }) => [endpointId, seenAt])]).toSorted(),
      [
        [current.serialHex, [['endpoint_00000000000000000000000001', now + 1]]],
        [other.serialHex, [['endpoint_00000000000000000000000002', now]]],
      ].toSorted(),
    );
    assert.equal((await readServing(queries, [])).size, 0);
  });

  test('both are answered by indexes: the serials that are served, or the order of the list', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await ca.database.commit(async ({ queries }) => {
      if (kind === 'postgres') await sql`set local enable_seqscan = off`.execute(queries);
      for (const [served, index] of [
        ['yes', /certificates_by_serial/],
        ['no', /certificates_by_time/],
      ] as const) {
        const { sql: text, parameters } = servedQuery(queries, everywhere, served).compile();
        const query = { ...sql.raw(`${kind === 'sqlite' ? 'explain query plan' : 'explain'} ${text}`).compile(queries), parameters };
        const plan = (await queries.executeQuery(query)).rows.map((row) => JSON.stringify(row)).join('\n');
        assert.match(plan, index, plan);
        assert.match(plan, /telemetry_served_serial/, plan);
        assert.doesNotMatch(plan, /Seq Scan|"SCAN certificates"/);
      }
    });
  });
});
