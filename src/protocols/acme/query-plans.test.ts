import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openDatabase } from '../../platform/db/open-database.ts';

test('what ACME looks for is found by an index, and what it deletes too', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'plans-'));
  const path = join(directory, 'plans.sqlite');
  await (await openDatabase({ url: `sqlite:${path}` }))[Symbol.asyncDispose]();
  {
    using file = new DatabaseSync(path);
    const plans = [
      ['select * from acme_orders where account_id = ? and id < ? order by id desc limit 10', 'acme_orders_account'],
      ['select * from acme_orders where serial = ?', 'acme_orders_serial'],
      ['select * from acme_orders where replaces = ? order by id', 'acme_orders_replaces'],
      [
        'delete from acme_orders where id in (select id from acme_orders where expires_at < ? and serial is null limit ?)',
        'acme_orders_expiry',
      ],
      [
        "select * from acme_authorizations where account_id = ? and identifier in (?, ?) and status = 'valid' and expires_at > ?",
        'acme_authorizations_identifier',
      ],
      [
        "update acme_authorizations set status = ?, due_at = ? where account_id = ? and status in ('pending', 'valid')",
        'acme_authorizations_identifier',
      ],
      ['select * from acme_authorizations where due_at < ? order by due_at limit ?', 'acme_authorizations_due'],
      [
        'delete from acme_authorizations where id in (select id from acme_authorizations where expires_at < ? limit ?)',
        'acme_authorizations_expiry',
      ],
      ['select name from acme_limits where arrival_at < ? limit ?', 'acme_limits_arrival'],
    ] as const;
    for (const [query, index] of plans) {
      const plan = file
        .prepare(`explain query plan ${query}`)
        .all()
        .map(({ detail }) => String(detail))
        .join('\n');
      assert.match(plan, new RegExp(index), query);
      assert.doesNotMatch(plan, /SCAN/, query);
    }
  }
  await rm(directory, { recursive: true });
});
