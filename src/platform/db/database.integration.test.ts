import assert from 'node:assert/strict';
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

forEachDatabase('the database', (newUrl) => {
  test('a unit that throws takes nothing with it but itself', async () => {
    await using database = await open(await newUrl());
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
    await using database = await open(await newUrl(), async (_queries, staged) => void sealed.push(staged));
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

  test('a seal that throws fails every unit of the commit, and nothing of it stays', async () => {
    await using database = await open(await newUrl(), async () => {
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
    await using database = await open(await newUrl());
    await database.commit(async (unit) => {
      await insert('a')(unit);
      assert.deepEqual(await names(database.queries), []);
    });
    assert.deepEqual(await names(database.queries), ['a']);
  });

  test('what was committed is there after the database is opened again', async () => {
    const url = await newUrl();
    {
      await using database = await open(url);
      await database.commit(insert('a'));
    }
    await using again = await openDatabase<string>({ url });
    assert.deepEqual(await names(again.queries), ['a']);
  });

  test('a server that would lose commits is refused', async () => {
    const url = await newUrl();
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
});

test('an unknown scheme is refused', async () => {
  await assert.rejects(openDatabase({ url: 'mysql://x' }), { code: 'input-invalid' });
});
