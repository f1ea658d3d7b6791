import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openDatabase } from '../../platform/db/open-database.ts';

test('what SCEP looks for at a renewal that was sent again is found by an index', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'plans-'));
  const path = join(directory, 'plans.sqlite');
  await (await openDatabase({ url: `sqlite:${path}` }))[Symbol.asyncDispose]();
  {
    using file = new DatabaseSync(path);
    const plans = [
      ["select * from certificates where spki_sha256 = ? and status = 'issued' order by not_after desc limit 20", 'certificates_by_key'],
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
