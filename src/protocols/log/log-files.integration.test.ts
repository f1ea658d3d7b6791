import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { logEntry, logVerifier, openLog } from '../../../test/support/test-log.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import { openCheckpoint } from '../../core/merkle/checkpoint.ts';
import { parseVerifier } from '../../core/merkle/signed-note.ts';
import { isPublicLogPath, readLogFile } from './log-files.ts';

const text = (body: Uint8Array): string => Buffer.from(body).toString();

test('only checkpoint and verifier are public', () => {
  for (const path of ['checkpoint', 'verifier']) assert.ok(isPublicLogPath(path));
  for (const path of ['tile/0/000', 'tile/entries/000', '', 'checkpoint/', '/checkpoint', 'Checkpoint', 'checkpoint\0'])
    assert.ok(!isPublicLogPath(path), path);
});

forEachDatabase('the files of the log', (newUrl) => {
  test('checkpoint and verifier fit each other; an empty log has no checkpoint', async () => {
    await using database = await openLog(await newUrl());
    const deps = { queries: database.queries, verifier: logVerifier };
    await assert.rejects(readLogFile(deps, 'checkpoint'), { code: 'not-found' });
    await database.commit(async (unit) => recordEntry(unit, logEntry({})));
    const verifier = parseVerifier(text((await readLogFile(deps, 'verifier')).body));
    const checkpoint = await readLogFile(deps, 'checkpoint');
    assert.equal(openCheckpoint(text(checkpoint.body), verifier).size, 1);
    assert.equal(checkpoint.cacheControl, 'no-store');
  });

  test('tiles of the present and of every earlier size are there, and no others', async () => {
    await using database = await openLog(await newUrl());
    const deps = { queries: database.queries, verifier: logVerifier };
    await database.commit(async (unit) => {
      for (let index = 0; index < 259; index++) recordEntry(unit, logEntry({ index }));
    });
    for (const [path, hashes] of [
      ['tile/0/000', 256],
      ['tile/0/000.p/1', 1],
      ['tile/0/000.p/255', 255],
      ['tile/0/001.p/3', 3],
      ['tile/1/000.p/1', 1],
    ] as const) {
      assert.equal((await readLogFile(deps, path)).body.length, hashes * 32, path);
    }
    const [whole, part] = [await readLogFile(deps, 'tile/entries/000'), await readLogFile(deps, 'tile/entries/000.p/7')];
    assert.deepEqual(whole.body.subarray(0, part.body.length), part.body);
    for (const path of [
      'tile/0/001',
      'tile/0/001.p/4',
      'tile/1/000',
      'tile/1/000.p/2',
      'tile/2/000.p/1',
      'tile/9/000',
      'tile/10/000',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000.p/-1',
      'tile/0/0',
      'tile/0/0000',
      'tile/0/x000/000',
      'tile/0/x001',
      'tile/0/x999/x999/x999/x999/999',
      'tile/entries/x999/x999/x999/x999/999',
      'tile/0/x001/x002/x003/x004/x005/006',
      'tile//000',
      'tile/0/000/',
      'tile/0/000\n',
      'tile/0/../../secret',
      'tile/entries/001',
      'tile/data/000',
      '',
      'a'.repeat(100_000),
    ]) {
      await assert.rejects(readLogFile(deps, path), { code: 'not-found' }, path.slice(0, 100));
    }
  });
});
