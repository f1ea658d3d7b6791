import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openDatabase } from '../../platform/db/open-database.ts';

test('what is read whole and often is read by an index that stays small', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'plans-'));
  const path = join(directory, 'plans.sqlite');
  await (await openDatabase({ url: `sqlite:${path}` }))[Symbol.asyncDispose]();
  {
    using file = new DatabaseSync(path);
    const plans = [
      [
        'select der from certificates where proxy_id = ? and status = ? and revoked_at is null order by reserved_at desc, serial desc limit 1',
        'certificates_by_proxy',
      ],
      ['select der from certificates order by reserved_at desc, serial desc limit 10', 'certificates_by_time'],
      ["select der from certificates where spiffe_id = 'a' order by reserved_at desc, serial desc limit 10", 'certificates_by_identity'],

      ['select serial from certificates where in_revoked_set = 1 order by not_after', 'certificates_revoked_set'],
      ["select serial from certificates where status = 'reserved' and reserved_at < 1 order by reserved_at", 'certificates_reserved'],
      [
        "select serial from certificates where issuer_id = 'a' and crl_shard = 0 and on_crl = 1 and crl_revision > 7",
        'certificates_on_crl',
      ],
      [
        "select serial from certificates where revocation_reason = 'keyCompromise' and spki_sha256 = 'a'",
        'certificates_(compromised|by_key)',
      ],
      [
        "select * from issuance_requests where settled_at is null and asker = 'a' and digest = 'b' and expires_at > 1 order by expires_at limit 1",
        'issuance_requests_filed',
      ],
      [
        "select count(*) as many from (select 1 as one from issuance_requests where settled_at is null and asker = 'a' limit 100) as counted",
        'COVERING INDEX issuance_requests_filed',
      ],
      [
        'select count(*) as many from (select 1 as one from issuance_requests where settled_at is null limit 1000) as counted',
        'COVERING INDEX issuance_requests_filed',
      ],
      [
        "select status from issuance_requests where digest = 'b' and settled_at is not null and asker = 'a' order by settled_at desc limit 1",
        'issuance_requests_answered',
      ],
      [
        "select der from certificates where issuer_id in (select id from authorities where spki_sha256 = 'a') and serial = x'01'",
        'certificates_by_serial',
      ],
    ] as const;
    for (const [query, index] of plans) {
      const plan = file
        .prepare(`explain query plan ${query}`)
        .all()
        .map(({ detail }) => String(detail))
        .join('\n');
      assert.match(plan, new RegExp(index), query);
    }
  }
  await rm(directory, { recursive: true });
});
