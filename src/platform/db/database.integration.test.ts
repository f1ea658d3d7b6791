import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Database, Queries } from './database.ts';
import { openDatabase } from './open-database.ts';
import { checkDurability } from './sqlite-database.ts';

type Tables = { things: { name: string; size: number } };
const things = (queries: Queries): Kysely<Tables> => queries.withTables<Tables>();

async function open(url: string, seal?: (queries: Queries, staged: readonly string[]) => Promise<void>): Promise<Database<string>> {
  const database = await openDatabase<string>(seal === undefined ? { url } : { url, seal });
  await database.commit(async ({ queries }) => {
    await queries.schema
      .createTable('things')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('size', 'bigint')
      .execute();
  });
  return database;
}

const insert =
  (name: string, size = 1) =>
  async ({ queries }: { queries: Queries }) => {
    await things(queries).insertInto('things').values({ name, size }).execute();
    return name;
  };

const names = async (queries: Queries): Promise<string[]> =>
  (await things(queries).selectFrom('things').select('name').orderBy('name').execute()).map(({ name }) => name);

forEachDatabase('the database', (newUrl, kind) => {
  test('a unit that throws takes nothing with it but itself', async () => {
    await using database = await open(await newUrl('empty'));
    const results = await Promise.allSettled([
      database.commit(insert('a')),
      database.commit(async (unit) => {
        await insert('b')(unit);
        throw new Error('not this one');
      }),
      database.commit(insert('a')),
      database.commit(insert('c', 2 ** 42)),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(await names(database.queries), ['a', 'c']);
    assert.equal(
      (await things(database.queries).selectFrom('things').select('size').where('name', '=', 'c').executeTakeFirstOrThrow()).size,
      2 ** 42,
    );
  });

  test('concurrent units share one commit, and the seal sees what the successful ones staged, in order', async () => {
    const sealed: (readonly string[])[] = [];
    await using database = await open(await newUrl('empty'), async (_queries, staged) => void sealed.push(staged));
    await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        database.commit(async (unit) => {
          unit.stage(`entry ${index}`);
          if (index === 7) throw new Error('not this one');
          return insert(`thing ${index}`)(unit);
        }),
      ),
    );
    assert.deepEqual(
      sealed.flat(),
      Array.from({ length: 20 }, (_, index) => `entry ${index}`).filter((_, index) => index !== 7),
    );
    assert.ok(sealed.length <= 2, `${sealed.length} commits for 20 concurrent units`);
  });

  test('units that come by events of one turn of the loop share one commit', async () => {
    let commits = 0;
    await using database = await open(await newUrl('empty'), async () => void commits++);
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = 20;
    for (let index = 0; index < 20; index++) {
      // Between two immediates every promise that can settle does: as between the requests of two sockets.
      setImmediate(async () => {
        await database.commit(async (unit) => {
          unit.stage('x');
          await insert(`thing ${index}`)(unit);
        });
        if (--left === 0) resolve();
      });
    }
    await promise;
    assert.equal(commits, 1);
  });

  test('more texts of statements than the cache holds', async () => {
    await using database = await open(await newUrl('empty'));
    await database.commit(insert('a', 7));
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 600; index++) {
        const { rows } = await sql.raw<{ n: number }>(`select size + ${index} as n from things`).execute(database.queries);
        assert.equal(Number(rows[0]?.n), 7 + index);
      }
    }
  });

  test('a unit that goes on after a failed statement is kept whole by SQLite, refused by PostgreSQL; its neighbours are kept', async () => {
    await using database = await open(await newUrl('empty'));
    const [, swallowed] = await Promise.allSettled([
      database.commit(insert('a')),
      database.commit(async (unit) => {
        await insert('b')(unit);
        await insert('a')(unit).catch(() => undefined);
        await insert('c')(unit);
      }),
      database.commit(insert('d')),
    ]);
    assert.equal(swallowed.status, kind === 'sqlite' ? 'fulfilled' : 'rejected');
    assert.deepEqual(await names(database.queries), kind === 'sqlite' ? ['a', 'b', 'c', 'd'] : ['a', 'd']);
  });

  test('nothing can be committed once the database is closed', async () => {
    const database = await open(await newUrl('empty'));
    const last = database.commit(insert('a'));
    await database[Symbol.asyncDispose]();
    assert.equal(await last, 'a');
    await assert.rejects(database.commit(insert('b')));
  });

  test('a seal that throws fails every unit of the commit, and nothing of it stays', async () => {
    await using database = await open(await newUrl('empty'), async () => {
      throw new Error('no seal');
    });
    const results = await Promise.allSettled([
      database.commit(insert('a')),
      database.commit(async (unit) => {
        unit.stage('x');
        await insert('b')(unit);
      }),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.deepEqual(await names(database.queries), []);
    await database.commit(insert('after'));
    assert.deepEqual(await names(database.queries), ['after']);
  });

  test('reads see committed state only', async () => {
    await using database = await open(await newUrl('empty'));
    await database.commit(async (unit) => {
      await insert('a')(unit);
      assert.deepEqual(await names(database.queries), []);
    });
    assert.deepEqual(await names(database.queries), ['a']);
  });

  test('what was committed is there after the database is opened again', async () => {
    const url = await newUrl('empty');
    {
      await using database = await open(url);
      await database.commit(insert('a'));
    }
    await using again = await openDatabase<string>({ url });
    assert.deepEqual(await names(again.queries), ['a']);
  });

  test('a server that would lose commits is refused', async () => {
    const url = await newUrl('empty');
    if (url.startsWith('sqlite:')) {
      const file = new DatabaseSync(url.slice('sqlite:'.length));
      for (const pragma of [
        'PRAGMA journal_mode = DELETE',
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF',
        'PRAGMA synchronous = NORMAL',
      ]) {
        file.exec(pragma);
        assert.throws(() => checkDurability(file), { code: 'database-unsafe' }, pragma);
      }
      file.close();
      return;
    }
    {
      await using database = await openDatabase<string>({ url });
      await sql.raw(`alter database ${new URL(url).pathname.slice(1)} set synchronous_commit = off`).execute(database.queries);
    }
    await assert.rejects(openDatabase<string>({ url }), { code: 'database-unsafe' });
  });

  if (kind === 'sqlite') {
    test('the file and its log are readable by their owner only', async () => {
      const url = await newUrl('empty');
      await using database = await open(url);
      await database.commit(insert('a'));
      for (const suffix of ['', '-wal']) assert.equal(statSync(url.slice('sqlite:'.length) + suffix).mode & 0o777, 0o600);
    });
    return;
  }

  test('a server whose files may tear or lag is refused', async () => {
    const url = await newUrl('empty');
    await using database = await openDatabase<string>({ url });
    const run = (text: string) => sql.raw(text).execute(database.queries);
    // A session takes a reloaded configuration when the signal reaches it, and a new one takes the server’s.
    const untilServerHas = async (name: string, value: string) => {
      await run('select pg_reload_conf()');
      for (let asked = 0; asked < 2_000; asked++) {
        const { rows } = await sql<{ setting: string }>`select current_setting(${name}) as setting, pg_sleep(0.005)`.execute(
          database.queries,
        );
        if (rows[0]?.setting === value) return;
      }
      assert.fail(`${name} did not become ${value}`);
    };
    for (const name of ['fsync', 'full_page_writes']) {
      await run(`alter system set ${name} = off`);
      try {
        await untilServerHas(name, 'off');
        await assert.rejects(openDatabase<string>({ url }), { code: 'database-unsafe', message: new RegExp(name) });
      } finally {
        await run(`alter system reset ${name}`);
        await untilServerHas(name, 'on');
      }
    }
    await using again = await openDatabase<string>({ url });
    assert.equal(again.kind, 'postgres');
  });

  test('a lost connection fails the commit that it carried, and no later one', async () => {
    const url = await newUrl('empty');
    await using database = await open(url);
    await using other = await openDatabase<string>({ url });
    // More often than the pool has connections: none is leaked.
    for (let round = 0; round < 12; round++) {
      const lost = database.commit(async (unit) => {
        await insert(`lost ${round}`)(unit);
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(unit.queries);
        await sql`select pg_terminate_backend(${rows[0]!.pid}, 5000)`.execute(other.queries);
        if (round % 2 === 0) await names(unit.queries);
      });
      await assert.rejects(lost);
    }
    await database.commit(insert('kept'));
    assert.deepEqual(await names(database.queries), ['kept']);
  });

  test('a lost connection breaks no read but the one that meets it', async () => {
    const url = await newUrl('empty');
    await using database = await open(url);
    await using other = await openDatabase<string>({ url });
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(database.queries);
    await sql`select pg_terminate_backend(${rows[0]!.pid}, 5000)`.execute(other.queries);
    await names(database.queries).catch(() => undefined);
    assert.deepEqual(await names(database.queries), []);
  });
});

test('an address that names no database is refused', async () => {
  for (const url of ['mysql://x', '', 'sqlite:', 'sqlite::memory:', 'sqlite:/nowhere/at/all.sqlite', 'sqlite:/']) {
    await assert.rejects(openDatabase({ url }), { code: 'input-invalid' }, url);
  }
});
