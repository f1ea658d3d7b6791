import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openDatabase } from '../../platform/db/open-database.ts';

test('what doors look for at a message, and what is forgotten, is found by an index', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'plans-'));
  const path = join(directory, 'plans.sqlite');
  await (await openDatabase({ url: `sqlite:${path}` }))[Symbol.asyncDispose]();
  {
    using file = new DatabaseSync(path);
    const ended = 'select id from door_grants where expires_at < ? limit 1000';
    const take = `update door_grants set used = used + 1 where id = ? and door = ? and used < uses and expires_at > ?
      and (maker_token is null or exists (select id from access_tokens where id = door_grants.maker_token and ended_at is null))
      and not exists (select spiffe_id from suspended_identities where spiffe_id = door_grants.spiffe_id)`;
    const plans = [
      ['select * from door_grants where id = ? and door = ?', 'sqlite_autoindex_door_grants_1'],
      ['select * from door_grants where secret_sha256 = ? and door = ?', 'sqlite_autoindex_door_grants_2'],
      ['select * from door_grants where spki_sha256 = ? and used_by = ? and door = ? order by used_at desc limit 1', 'door_grants_use'],
      [take, 'sqlite_autoindex_door_grants_1'],
      [take, 'sqlite_autoindex_access_tokens_1'],
      [take, 'sqlite_autoindex_suspended_identities_1'],
      ['select * from door_grants where name = ? and expires_at > ?', 'door_grants_name'],
      [`delete from door_grants where id in (${ended})`, 'door_grants_end'],
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
