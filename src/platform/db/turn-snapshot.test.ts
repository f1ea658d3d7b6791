import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { statementRunner } from './statement-runner.ts';
import { TurnSnapshot } from './turn-snapshot.ts';

function open() {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-snapshot-'));
  const path = join(folder, 'db.sqlite');
  const writer = new DatabaseSync(path);
  writer.exec('PRAGMA journal_mode = WAL; CREATE TABLE things (name TEXT)');
  const reader = new DatabaseSync(path);
  const snapshot = new TurnSnapshot(reader, statementRunner(reader));
  const count = (): number => {
    snapshot.begin();
    return Number(reader.prepare('SELECT count(*) AS many FROM things').get()!['many']);
  };
  const close = (): void => {
    snapshot.end();
    reader.close();
    writer.close();
    rmSync(folder, { recursive: true });
  };
  return { writer, reader, snapshot, count, add: () => writer.exec("INSERT INTO things VALUES ('one')"), [Symbol.dispose]: close };
}

test('TurnSnapshot shows one state for a turn of the loop, and the next turn what came since', async () => {
  using held = open();
  assert.equal(held.count(), 0);
  held.add();
  await Promise.resolve();
  assert.equal(held.count(), 0, 'the same turn');
  await setImmediate();
  assert.equal(held.count(), 1, 'the next turn');
  assert.equal(held.reader.isTransaction, true);
  await setImmediate();
  assert.equal(held.reader.isTransaction, false, 'no reader is left behind');
});

test('TurnSnapshot ended before its turn is taken anew by the next read, and ends once', async () => {
  using held = open();
  assert.equal(held.count(), 0);
  held.snapshot.end();
  held.add();
  assert.equal(held.count(), 1);
  held.snapshot.end();
  held.snapshot.end();
  await setImmediate();
  assert.equal(held.reader.isTransaction, false);
  assert.equal(held.count(), 1);
});

test('TurnSnapshot has another number whenever what is read may have changed, and none while it is not open', async () => {
  using held = open();
  assert.equal(held.snapshot.current, null);
  held.count();
  const first = held.snapshot.current;
  held.count();
  assert.equal(held.snapshot.current, first, 'the same turn');
  held.snapshot.end();
  assert.equal(held.snapshot.current, null, 'ended by a commit');
  held.count();
  assert.notEqual(held.snapshot.current, first);
  await setImmediate();
  assert.equal(held.snapshot.current, null, 'ended with its turn');
});

test('TurnSnapshot survives a transaction that ended by itself', async () => {
  using held = open();
  assert.equal(held.count(), 0);
  held.reader.exec('ROLLBACK');
  await setImmediate();
  held.add();
  assert.equal(held.count(), 1);
});
