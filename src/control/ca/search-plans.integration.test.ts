import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CompiledQuery, sql } from 'kysely';
import { openTestAuthorities, orders } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateFilter, certificateQuery, type CertificateSelection } from './search-certificates.ts';

const now = 1_800_000_000_000;

/** Every criterion alone, with the index that must answer it. */
const plans: readonly (readonly [Partial<CertificateSelection>, RegExp])[] = [
  [{}, /certificates_by_time/],
  [{ spiffeId: orders }, /certificates_by_identity/],
  [{ name: 'www.acme.test' }, /certificate_names(_key|.*PRIMARY KEY)|sqlite_autoindex_certificate_names/],
  [{ serialPrefix: '01abcdef' }, /certificates_by_serial/],
  [{ spkiSha256: 'a'.repeat(64) }, /certificates_by_key/],
  [{ profile: 'server' }, /certificates_by_profile/],
  [{ door: 'drill' }, /certificates_by_door/],
  [{ asker: 'release' }, /certificates_by_asker/],
  [{ environments: ['stage'] }, /certificates_by_environment/],
  [{ ending: { from: now, before: now + 1 } }, /certificates_by_end/],
  [{ from: now, until: now + 1 }, /certificates_by_time/],
  [{ status: 'revoked' }, /certificates_(revoked|by_time)/],
  [{ status: 'withheld' }, /certificates_withheld/],
  [{ status: 'abandoned' }, /certificates_abandoned/],
  [{ proxyId: 'proxy_00000000000000000000000001' }, /certificates_by_proxy/],
];

/** A deep page of a list in the order of the end begins after one that ends. */
function pageOf({ ending }: Partial<CertificateSelection>, before: CertificateFilter['before']): Partial<CertificateFilter> {
  if (before === undefined) return {};
  return ending === undefined ? { before } : { after: { notAfter: before.reservedAt, serial: before.serial } };
}

async function explain(queries: Queries, { sql: text, parameters }: CompiledQuery, kind: 'sqlite' | 'postgres'): Promise<string> {
  const query = { ...sql.raw(`${kind === 'sqlite' ? 'explain query plan' : 'explain'} ${text}`).compile(queries), parameters };
  const { rows } = await queries.executeQuery(query);
  return rows.map((row) => JSON.stringify(row)).join('\n');
}

forEachDatabase('search among many', (newUrl, kind) => {
  test('every criterion is answered by an index, a deep page too', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await ca.database.commit(async ({ queries }) => {
      // The tables are empty: without this PostgreSQL would read them whole, and be right.
      if (kind === 'postgres') await sql`set local enable_seqscan = off`.execute(queries);
      for (const before of [undefined, { reservedAt: now, serial: Uint8Array.of(1) }]) {
        for (const [selection, index] of plans) {
          const query = certificateQuery(queries, { environments: '*', ...selection, limit: 100, ...pageOf(selection, before) });
          const plan = await explain(queries, query.compile(), kind);
          assert.match(plan, index, `${JSON.stringify(selection)}: ${plan}`);
          assert.doesNotMatch(plan, /Seq Scan|"SCAN certificates"/);
        }
      }
    });
  });
});
