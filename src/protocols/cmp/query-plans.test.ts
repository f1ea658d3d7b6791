import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openDatabase } from '../../platform/db/open-database.ts';

test('what CMP looks for at a message, and what it ends and forgets, is found by an index', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'plans-'));
  const path = join(directory, 'plans.sqlite');
  await (await openDatabase({ url: `sqlite:${path}` }))[Symbol.asyncDispose]();
  {
    using file = new DatabaseSync(path);
    const plans = [
      ['select * from cmp_transactions where transaction_id = ? and sender = ?', 'sqlite_autoindex_cmp_transactions_1'],
      ["delete from cmp_transactions where deadline < ? and status = 'done'", 'cmp_transactions_deadline'],
      ['select * from cmp_transactions where deadline < ? order by deadline limit ?', 'cmp_transactions_deadline'],
    ] as const;
    for (const [query, index] of plans) {
      const rows = file.prepare(`explain query plan ${query}`).all();
      const plan = rows.map(({ detail }) => String(detail)).join('\n');
      assert.match(plan, new RegExp(index), query);
      assert.doesNotMatch(plan, /SCAN/, query);
    }
  }
  await rm(directory, { recursive: true });
});
