import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { logClock, logEntry, logSeal, logVerifier, openLog, servedFiles } from '../../../test/support/test-log.ts';
import { openCheckpoint } from '../../core/merkle/checkpoint.ts';
import { verifyConsistency, verifyInclusion } from '../../core/merkle/proof.ts';
import { hashLeaf } from '../../core/merkle/hash.ts';
import { verifyLog } from '../../core/merkle/verify-log.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { Actor, AuditedDatabase, AuditEntry, StagedEntry } from './entry.ts';
import { erasePerson } from './erase-person.ts';
import { Person } from './person.ts';
import { readCheckpoint, readConsistencyProof, readInclusionProof } from './read-log.ts';
import { recordEntry } from './record-entry.ts';
import { searchEntries } from './search-entries.ts';
import { readLeaves } from './store.ts';

const ada: Actor = { kind: 'person', name: 'Ada Example' };
const everywhere = { environments: null };
const record = (database: AuditedDatabase, entry: AuditEntry) => database.commit(async (unit) => recordEntry(unit, entry));
const sizeOf = async ({ queries }: AuditedDatabase): Promise<number> => (await readCheckpoint(queries))?.size ?? 0;

forEachDatabase('the seal', (newUrl, kind) => {
  test('an entry that the log cannot hold fails its own commit, and no neighbour’s', async () => {
    await using database = await openLog(await newUrl());
    const bad: readonly AuditEntry[] = [
      logEntry({ name: 'a\ud800' }),
      logEntry({ ['\udc00']: 1 }),
      logEntry({ number: Number.NaN }),
      logEntry({ missing: undefined as never }),
      logEntry({ text: 'x'.repeat(65_001) }),
      logEntry({ text: '\u0001'.repeat(11_000) }),
      logEntry({ text: 'é'.repeat(33_000) }),
      logEntry({}, { kind: 'person', name: 'a\0b' }),
      logEntry({ owner: new Person('a\0b') }),
      logEntry({ owners: [{ first: new Person('\ud800') }] }),
      logEntry({}, { kind: 'machine', name: 'x'.repeat(70_000) }),
      { ...logEntry({}), environment: 'a\0' },
      { ...logEntry({}), region: '\ud800' },
    ];
    const good = record(database, logEntry({ good: true }));
    const results = await Promise.allSettled(bad.map((entry) => record(database, entry)));
    assert.equal((await good).leafIndex, 0);
    for (const result of results) assert.equal(result.status === 'rejected' && result.reason.code, 'input-invalid');
    assert.equal(await sizeOf(database), 1);
  });

  test('the largest entry that is taken can be read and exported', async () => {
    await using database = await openLog(await newUrl());
    const frame = Buffer.byteLength(JSON.stringify(logEntry({ text: '' }, ada)));
    await record(database, logEntry({ text: 'x'.repeat(65_000 - frame) }, ada));
    await assert.rejects(record(database, logEntry({ text: 'x'.repeat(65_001 - frame) }, ada)), { code: 'input-invalid' });
    assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, 1);
  });

  test('a zero character and every other control character in data come back as they went in', async () => {
    await using database = await openLog(await newUrl());
    const text = String.fromCharCode(...Array.from({ length: 0x20 }, (_, code) => code), 0x7f, 0x2028);
    await record(database, logEntry({ text }));
    const { entries } = await searchEntries(database.queries, { ...everywhere, contains: 'a\0b' });
    assert.deepEqual(entries, []);
    const [found] = (await searchEntries(database.queries, { ...everywhere, contains: text })).entries;
    assert.equal(JSON.parse(found!.leaf).data.text, text);
  });

  test('a machine with a person’s name is a machine, and the person’s name stays out of the leaf', async () => {
    await using database = await openLog(await newUrl());
    const namesake: Actor = { kind: 'machine', name: ada.name };
    await Promise.all([record(database, logEntry({ by: 'p' }, ada)), record(database, logEntry({ by: 'm' }, namesake))]);
    const { entries } = await searchEntries(database.queries, everywhere);
    const actors = entries.toReversed().map(({ leaf }) => JSON.parse(leaf).actor);
    assert.deepEqual([actors[0].kind, actors[1]], ['person', namesake]);
    assert.match(actors[0].hash, /^[0-9a-f]{64}$/);
    assert.deepEqual(
      entries.map(({ actor }) => actor),
      [`machine:${ada.name}`, ada.name],
    );
  });

  test('persons in data, however deep, enter the leaf by their hash, which is the one they act under', async () => {
    await using database = await openLog(await newUrl());
    const owner = new Person(ada.name);
    await record(database, logEntry({ list: [{ owner, team: 'shop' }, new Person('Bo'), null], owner }, ada));
    const { entries } = await searchEntries(database.queries, everywhere);
    const { actor, data } = JSON.parse(entries[0]!.leaf);
    const hidden = { person: actor.hash };
    assert.deepEqual([data.owner, data.list[0]], [hidden, { owner: hidden, team: 'shop' }]);
    assert.doesNotMatch(entries[0]!.leaf, /Ada|"Bo"/);
    assert.deepEqual(entries[0]!.persons, { [actor.hash]: ada.name, [data.list[1].person]: 'Bo' });
    await erasePerson(
      { database, holders: [] },
      { name: 'Bo', environment: 'production', region: 'local' },
      { kind: 'system', name: 'test' },
      logClock.now(),
    );
    const after = (await searchEntries(database.queries, { ...everywhere, person: ada.name })).entries[0]!;
    assert.deepEqual(after.persons, { [actor.hash]: ada.name });
    assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, 2);
  });

  test('a person has one hash over commits, and another one after being erased', async () => {
    await using database = await openLog(await newUrl());
    const hashOf = async () => {
      const { leafIndex } = await record(database, logEntry({}, ada));
      const [leaf] = await readLeaves(database.queries, leafIndex, leafIndex + 1);
      return JSON.parse(Buffer.from(leaf!).toString()).actor.hash as string;
    };
    const [first, second] = [await hashOf(), await hashOf()];
    assert.equal(first, second);
    const scope = { name: ada.name, environment: 'production', region: 'local' };
    await assert.rejects(erasePerson({ database, holders: [] }, scope, ada, logClock.now()), { code: 'state-conflict' });
    assert.equal((await searchEntries(database.queries, { ...everywhere, person: ada.name })).entries.length, 2);
    await erasePerson({ database, holders: [] }, scope, { kind: 'person', name: 'Bo' }, logClock.now());
    assert.notEqual(await hashOf(), first);
    assert.equal((await searchEntries(database.queries, { ...everywhere, person: ada.name })).entries.length, 1);
    assert.equal((await searchEntries(database.queries, { ...everywhere, actor: first })).entries.length, 2);
    assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, 4);
  });

  test('search heeds case, quotes and wildcards alike on both databases', async () => {
    await using database = await openLog(await newUrl());
    for (const name of ['Serial-AB', 'serial-ab', 'q"u\\o', '100%', '1000', 'aXb', 'a_b']) await record(database, logEntry({ name }));
    const found = async (contains: string) =>
      (await searchEntries(database.queries, { ...everywhere, contains })).entries.map(({ leaf }) => JSON.parse(leaf).data.name);
    assert.deepEqual(await found('Serial-AB'), ['Serial-AB']);
    assert.deepEqual(await found('serial-ab'), ['serial-ab']);
    assert.deepEqual(await found('q"u\\o'), ['q"u\\o']);
    assert.deepEqual(await found('100%'), ['100%']);
    assert.deepEqual(await found('a_b'), ['a_b']);
    assert.equal((await found('')).length, 7);
    assert.deepEqual(await found("' or 1=1 --"), []);
    for (const filter of [{ type: 'a\0' }, { actor: 'a\0' }, { person: 'a\0' }])
      assert.deepEqual(await searchEntries(database.queries, { ...everywhere, ...filter }), { entries: [], next: null });
  });

  test('more units than one commit takes, and more entries than a tile of tiles holds, make one tree', async () => {
    await using database = await openLog(await newUrl());
    const units = await Promise.all(Array.from({ length: 600 }, (_, index) => record(database, logEntry({ index }))));
    assert.deepEqual(
      units.map(({ leafIndex }) => leafIndex),
      Array.from({ length: 600 }, (_, index) => index),
    );
    const before = openCheckpoint((await readCheckpoint(database.queries))!.note, logVerifier);
    await database.commit(async (unit) => {
      for (let index = 600; index < 65_800; index++) recordEntry(unit, logEntry({ index }));
    });
    const after = openCheckpoint((await readCheckpoint(database.queries))!.note, logVerifier);
    assert.deepEqual([before.size, after.size], [600, 65_800]);
    const seen: number[] = [];
    await verifyLog(servedFiles(database), logVerifier, {
      onLeaf: (leaf) => seen.push(JSON.parse(Buffer.from(leaf).toString()).data.index),
    });
    assert.ok(seen.every((index, at) => index === at));
    assert.ok(verifyConsistency(await readConsistencyProof(database.queries, 600, 65_800), before, after));
    for (const index of [0, 599, 65_535, 65_536, 65_799]) {
      const [leaf] = await readLeaves(database.queries, index, index + 1);
      const proof = await readInclusionProof(database.queries, index, 65_800);
      assert.ok(verifyInclusion(proof, hashLeaf(leaf!), index, 65_800, after.root));
    }
  });

  test('a head that moved under a commit refuses it whole', async () => {
    const url = await newUrl();
    const seal = logSeal(url);
    let meddle = false;
    await using database = await openDatabase<StagedEntry>({
      url,
      seal: async (queries, staged) => {
        await seal(queries, staged);
        // What a second writer without the lock would do: append the same place again.
        if (meddle) await sql`update audit_head set size = size - 1`.execute(queries);
        if (meddle) await seal(queries, staged);
      },
    });
    await record(database, logEntry({ first: 1 }));
    meddle = true;
    await assert.rejects(record(database, logEntry({ second: 2 })));
    meddle = false;
    assert.equal(await sizeOf(database), 1);
    await record(database, logEntry({ third: 3 }));
    assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, 2);
  });

  test('a database that lost entries under its head appends no more', async () => {
    await using database = await openLog(await newUrl());
    await record(database, logEntry({ first: 1 }));
    await record(database, logEntry({ second: 2 }));
    await database.commit(async ({ queries }) => void (await sql`delete from audit_head`.execute(queries)));
    await assert.rejects(record(database, logEntry({ third: 3 })));
    assert.equal(await sizeOf(database), 2);
  });

  if (kind === 'sqlite') return;

  test('two servers that append together, units of many entries and failing ones among them, keep one tree', async () => {
    const url = await newUrl();
    await using one = await openLog(url);
    await using two = await openLog(url);
    const notes: string[] = [];
    const indexes: number[] = [];
    const work = async (database: AuditedDatabase, actor: Actor) => {
      for (let round = 0; round < 25; round++) {
        const results = await Promise.allSettled([
          database.commit(async (unit) => [1, 2, 3].map((part) => recordEntry(unit, logEntry({ round, part }, actor)))),
          database.commit(async (unit) => {
            recordEntry(unit, logEntry({ lost: true }, actor));
            throw new Error('not this one');
          }),
          database.commit(async (unit) => [recordEntry(unit, logEntry({ round }, actor))]),
        ]);
        for (const result of results) if (result.status === 'fulfilled') indexes.push(...result.value.map(({ leafIndex }) => leafIndex));
        notes.push((await readCheckpoint(database.queries))!.note);
      }
    };
    // Both name the same new person at once.
    await Promise.all([work(one, ada), work(two, ada)]);
    assert.deepEqual(
      indexes.toSorted((a, b) => a - b),
      Array.from({ length: 200 }, (_, index) => index),
    );
    const report = await verifyLog(servedFiles(one), logVerifier, { earlier: notes });
    assert.deepEqual([report.size, report.extended], [200, 50]);
  });
});
