import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kysely } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Database, Queries } from './database.ts';
import { openDatabase } from './open-database.ts';
import { prepareInsert, prepareListQuery, prepareQuery, type Values } from './prepared-query.ts';

type Thing = { name: string; size: number; picture: Uint8Array | null };
const things = (queries: Queries): Kysely<{ things: Thing }> => queries.withTables<{ things: Thing }>();

async function open(url: string): Promise<Database> {
  const database = await openDatabase({ url });
  await database.commit(({ queries }) =>
    queries.schema
      .createTable('things')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('size', 'bigint')
      .addColumn('picture', 'bytea')
      .execute(),
  );
  return database;
}

let built = 0;
const insertThings = prepareInsert<Thing>('things', ['name', 'size', 'picture']);
const selectBetween = prepareQuery((queries, value: Values<{ from: number; to: number }>) => {
  built++;
  const query = things(queries).selectFrom('things').select('name').orderBy('size');
  return query.where('size', '>=', value('from')).where('size', '<', value('to'));
});
const selectNamed = prepareListQuery((queries, names: readonly string[], value: Values<{ below: number }>) =>
  things(queries).selectFrom('things').select('name').where('name', 'in', names).where('size', '<', value('below')).orderBy('size'),
);
const rename = prepareQuery((queries, value: Values<{ from: string; to: string }>) =>
  things(queries)
    .updateTable('things')
    .set({ name: value('to') })
    .where('name', '=', value('from')),
);

const between = async (queries: Queries, from: number, to: number): Promise<string[]> =>
  (await selectBetween(queries, { from, to })).rows.map(({ name }) => name);

const rowsOf = (count: number): Thing[] =>
  Array.from({ length: count }, (_, at) => ({ name: `thing ${at}`, size: at, picture: at % 2 === 0 ? null : Uint8Array.of(at & 255) }));

forEachDatabase('a prepared query', (newUrl) => {
  test('is built once for a database, and answers each call with its own values', async () => {
    await using database = await open(await newUrl());
    await database.commit(({ queries }) => insertThings(queries, rowsOf(10)));
    const before = built;
    assert.deepEqual(await between(database.queries, 2, 4), ['thing 2', 'thing 3']);
    assert.deepEqual(await between(database.queries, 9, 100), ['thing 9']);
    assert.deepEqual(await between(database.queries, 5, 5), []);
    assert.equal(built, before + 1);
    assert.deepEqual(await database.commit(({ queries }) => between(queries, 0, 1)), ['thing 0']);
  });

  test('sees what its own unit changed, and says how many rows it changed', async () => {
    await using database = await open(await newUrl());
    const changed = await database.commit(async ({ queries }) => {
      await insertThings(queries, rowsOf(1));
      return [
        (await rename(queries, { from: 'thing 0', to: "o'clock; drop" })).numAffectedRows,
        (await rename(queries, { from: 'thing 0', to: 'x' })).numAffectedRows,
      ];
    });
    assert.deepEqual(changed, [1n, 0n]);
    assert.equal((await selectBetween(database.queries, { from: 0, to: 1 })).rows[0]?.name, "o'clock; drop");
  });

  test('inserts any number of rows, each as it was given', async () => {
    await using database = await open(await newUrl());
    for (const count of [0, 1, 2, 3, 31, 255, 256, 257, 700]) {
      await database.commit(({ queries }) => things(queries).deleteFrom('things').execute());
      await database.commit(({ queries }) => insertThings(queries, rowsOf(count)));
      const rows = await things(database.queries).selectFrom('things').selectAll().orderBy('size').execute();
      assert.deepEqual(
        rows.map(({ picture, ...rest }) => ({ ...rest, picture: picture === null ? null : Uint8Array.from(picture) })),
        rowsOf(count),
        `${count} rows`,
      );
    }
  });

  test('inserts no row that has more or fewer columns than its list', async () => {
    await using database = await open(await newUrl());
    for (const columns of [
      ['name', 'size'],
      ['name', 'size', 'picture', 'colour'],
    ] as const) {
      const insert = prepareInsert<Thing & { colour?: string }>('things', columns);
      await database.commit(({ queries }) => insert(queries, []));
      const inserted = database.commit(({ queries }) => insert(queries, rowsOf(1)));
      await assert.rejects(inserted, { name: 'TypeError', message: /things: (picture|colour) in row or list/ });
    }
    assert.deepEqual(await between(database.queries, 0, 10), []);
  });

  test('with a key replaces what is there under it, and nothing else', async () => {
    await using database = await open(await newUrl());
    const put = prepareInsert<Thing>('things', ['name', 'size', 'picture'], { key: 'name' });
    await database.commit(({ queries }) => put(queries, rowsOf(7)));
    const changed = rowsOf(5).map((thing) => ({ ...thing, size: thing.size + 100, picture: null }));
    await database.commit(({ queries }) => put(queries, [...changed.slice(1), ...rowsOf(9).slice(7)]));
    const rows = await things(database.queries).selectFrom('things').select(['name', 'size']).orderBy('name').execute();
    const expected = [...rowsOf(1), ...changed.slice(1), ...rowsOf(9).slice(5)].map(({ name, size }) => ({ name, size }));
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      expected,
    );
  });

  test('with a list finds what any list names, each once', async () => {
    await using database = await open(await newUrl());
    await database.commit(({ queries }) => insertThings(queries, rowsOf(40)));
    for (const count of [0, 1, 2, 3, 5, 8, 33]) {
      const names = rowsOf(count).map(({ name }) => name);
      const found = await selectNamed(database.queries, [...names, ...names], { below: 1_000 });
      assert.deepEqual(
        found.map(({ name }) => name),
        names,
      );
    }
    assert.deepEqual(await selectNamed(database.queries, ['thing 3', 'nothing'], { below: 3 }), []);
  });

  test('that fails takes its unit with it, and not the next', async () => {
    await using database = await open(await newUrl());
    await database.commit(({ queries }) => insertThings(queries, rowsOf(2)));
    await assert.rejects(database.commit(({ queries }) => insertThings(queries, rowsOf(3).toReversed())));
    assert.equal((await selectBetween(database.queries, { from: 0, to: 10 })).rows.length, 2);
    await database.commit(({ queries }) => insertThings(queries, rowsOf(3).slice(2)));
    assert.equal((await selectBetween(database.queries, { from: 0, to: 10 })).rows.length, 3);
  });
});
