import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openCheckpoint } from '../../core/merkle/checkpoint.ts';
import { hashLeaf } from '../../core/merkle/hash.ts';
import { verifyConsistency, verifyInclusion } from '../../core/merkle/proof.ts';
import { noteVerifier } from '../../core/merkle/signed-note.ts';
import { entriesPath, TILE_WIDTH, tilePath, tilesOf } from '../../core/merkle/tile.ts';
import { type LogFiles, verifyLog } from '../../core/merkle/verify-log.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { Actor, AuditedDatabase, AuditEntry, StagedEntry } from './entry.ts';
import { erasePerson } from './erase-person.ts';
import { makeSeal } from './make-seal.ts';
import { readCheckpoint, readConsistencyProof, readEntryBundle, readInclusionProof, readTile } from './read-log.ts';
import { recordEntry } from './record-entry.ts';
import { searchEntries } from './search-entries.ts';
import { readLeaves } from './store.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const verifier = noteVerifier('log.example', publicKey);
const clock = new ManualClock(1_800_000_000_000);
const ada: Actor = { kind: 'person', name: 'Ada Example' };

function open(url: string): Promise<AuditedDatabase> {
  const kind = url.startsWith('sqlite:') ? 'sqlite' : 'postgres';
  return openDatabase<StagedEntry>({ url, seal: makeSeal({ checkpointKey: privateKey, origin: 'log.example', kind, clock }) });
}

const entry = (number: number, actor: Actor = { kind: 'system', name: 'test' }): AuditEntry => ({
  type: number % 2 === 0 ? 'thing.made' : 'thing.lost',
  at: clock.now() + number,
  environment: number % 3 === 0 ? 'staging' : 'production',
  region: 'local',
  actor,
  data: { number, name: `100%_${number}` },
});

const append = (database: AuditedDatabase, numbers: readonly number[], actor?: Actor) =>
  Promise.all(numbers.map((number) => database.commit(async (unit) => recordEntry(unit, entry(number, actor)))));

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, at) => from + at);

/** The files of the log as an export writes them. */
async function exported({ queries }: AuditedDatabase, size: number): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>([['checkpoint', Buffer.from((await readCheckpoint(queries))!.note)]]);
  for (const tile of tilesOf(size)) {
    files.set(tilePath(tile), await readTile(queries, tile.level, tile.index, tile.width));
    if (tile.level === 0) files.set(entriesPath(tile.index, tile.width), await readEntryBundle(queries, tile.index, tile.width));
  }
  return files;
}

const reader = (files: ReadonlyMap<string, Uint8Array>): LogFiles => ({
  read: async (path) => files.get(path) ?? assert.fail(`no ${path}`),
});

forEachDatabase('the audit log', (newUrl) => {
  test('entries get consecutive places, and every commit ends under a signed checkpoint', async () => {
    await using database = await open(await newUrl());
    const receipts = await append(database, range(20));
    assert.deepEqual(
      receipts.map(({ leafIndex }) => leafIndex),
      range(20),
    );
    const checkpoint = openCheckpoint((await readCheckpoint(database.queries))!.note, verifier);
    assert.equal(checkpoint.size, 20);
    for (const index of [0, 7, 19]) {
      const [leaf] = await readLeaves(database.queries, index, index + 1);
      assert.ok(verifyInclusion(await readInclusionProof(database.queries, index, 20), hashLeaf(leaf!), index, 20, checkpoint.root));
    }
  });

  test('the tree goes on over a restart, and every checkpoint is a prefix of the last', async () => {
    const url = await newUrl();
    const notes: string[] = [];
    for (const size of [1, 300, 40]) {
      await using database = await open(url);
      await append(database, range(size));
      notes.push((await readCheckpoint(database.queries))!.note);
    }
    await using database = await open(url);
    const heads = notes.map((note) => openCheckpoint(note, verifier));
    assert.deepEqual(
      heads.map(({ size }) => size),
      [1, 301, 341],
    );
    for (const first of heads)
      assert.ok(verifyConsistency(await readConsistencyProof(database.queries, first.size, 341), first, heads[2]!));
    const report = await verifyLog(reader(await exported(database, 341)), verifier, { earlier: notes });
    assert.deepEqual([report.size, report.extended], [341, 3]);
  });

  test('an exported log that was changed anywhere does not verify', async () => {
    await using database = await open(await newUrl());
    await append(database, range(TILE_WIDTH + 5));
    const files = await exported(database, TILE_WIDTH + 5);
    await verifyLog(reader(files), verifier);
    for (const [path, octets] of files) {
      const changed = Buffer.from(octets);
      const at = path === 'checkpoint' ? changed.indexOf(0x0a) + 1 : Math.floor(changed.length / 2);
      changed[at] = changed[at]! ^ 1;
      await assert.rejects(verifyLog(reader(new Map(files).set(path, changed)), verifier), { code: 'log-invalid' }, path);
    }
    const other = noteVerifier('log.example', generateKeyPairSync('ed25519').publicKey);
    await assert.rejects(verifyLog(reader(files), other), { code: 'log-invalid' });
  });

  test('a log that does not extend an earlier checkpoint does not verify', async () => {
    await using one = await open(await newUrl());
    await using two = await open(await newUrl());
    await append(one, [1, 2, 3]);
    await append(two, [1, 5]);
    const { note } = (await readCheckpoint(two.queries))!;
    await assert.rejects(verifyLog(reader(await exported(one, 3)), verifier, { earlier: [note] }), { code: 'log-invalid' });
  });

  test('a unit that fails leaves no entry', async () => {
    await using database = await open(await newUrl());
    const failed = database.commit(async (unit) => {
      recordEntry(unit, entry(1));
      throw new Error('no');
    });
    await assert.rejects(failed, /no/);
    assert.equal(await readCheckpoint(database.queries), null);
  });

  test('what is not there is not found', async () => {
    await using database = await open(await newUrl());
    await append(database, range(3));
    const { queries } = database;
    for (const asked of [
      () => readTile(queries, 0, 0, 4),
      () => readTile(queries, 0, 1, 1),
      () => readTile(queries, 1, 0, 1),
      () => readTile(queries, 9, 0, 1),
      () => readTile(queries, 0, 0, 0),
      () => readTile(queries, 0, -1, 1),
      () => readEntryBundle(queries, 0, 257),
      () => readInclusionProof(queries, 3, 3),
      () => readInclusionProof(queries, 0, 4),
      () => readConsistencyProof(queries, 4, 3),
      () => readConsistencyProof(queries, 1, 0),
    ]) {
      await assert.rejects(asked(), { code: 'not-found' });
    }
  });

  test('search filters, pages and keeps to its environments', async () => {
    await using database = await open(await newUrl());
    await append(database, range(10));
    await append(database, [10], ada);
    const { queries } = database;
    const indexes = async (search: Parameters<typeof searchEntries>[1]) =>
      (await searchEntries(queries, search)).entries.map(({ leafIndex }) => leafIndex);
    assert.deepEqual(await indexes({ environments: ['staging'] }), [9, 6, 3, 0]);
    assert.deepEqual(await indexes({ environments: [] }), []);
    assert.deepEqual(await indexes({ environments: null, type: 'thing.lost' }), [9, 7, 5, 3, 1]);
    assert.deepEqual(await indexes({ environments: null, contains: '100%_1' }), [10, 1]);
    assert.deepEqual(await indexes({ environments: null, contains: '100__1' }), []);
    assert.deepEqual(await indexes({ environments: null, from: clock.now() + 4, to: clock.now() + 6 }), [5, 4]);
    assert.deepEqual(await indexes({ environments: null, person: ada.name }), [10]);
    assert.deepEqual(await indexes({ environments: null, person: 'Nobody' }), []);
    const first = await searchEntries(queries, { environments: null, limit: 4 });
    assert.equal(first.next, 7);
    assert.deepEqual(await indexes({ environments: null, limit: 4, before: first.next! }), [6, 5, 4, 3]);
  });

  test('an erased person is gone from the log, which verifies as before', async () => {
    await using database = await open(await newUrl());
    await append(database, [1], ada);
    const named = await searchEntries(database.queries, { environments: null });
    assert.equal(named.entries[0]!.actor, ada.name);
    assert.ok(!named.entries[0]!.leaf.includes('Ada'));
    await erasePerson(
      { database, holders: [] },
      { name: ada.name, environment: 'production', region: 'local' },
      { kind: 'system', name: 'test' },
      clock.now(),
    );
    const { entries } = await searchEntries(database.queries, { environments: null, type: 'thing.lost' });
    assert.match(entries[0]!.actor, /^[0-9a-f]{64}$/);
    assert.equal((await verifyLog(reader(await exported(database, 2)), verifier)).size, 2);
    const again = erasePerson(
      { database, holders: [] },
      { name: ada.name, environment: 'production', region: 'local' },
      { kind: 'system', name: 'test' },
      clock.now(),
    );
    await assert.rejects(again, { code: 'not-found' });
  });

  test('two servers on one database append to one tree', async (context) => {
    const url = await newUrl();
    if (url.startsWith('sqlite:')) return void context.diagnostic('SQLite has one writer');
    await using one = await open(url);
    await using two = await open(url);
    const receipts = (await Promise.all(range(40).map((number) => append(number % 2 === 0 ? one : two, [number])))).flat();
    assert.deepEqual(
      receipts.map(({ leafIndex }) => leafIndex).toSorted((a, b) => a - b),
      range(40),
    );
    assert.equal((await verifyLog(reader(await exported(one, 40)), verifier)).size, 40);
  });
});
