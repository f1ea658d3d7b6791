import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../support/databases.ts';
import { PageSession, readBlocks } from './page-session.ts';

const firstFleet = readBlocks('docs/how-to/first-fleet.md');
const at = (words: string): number => {
  const index = firstFleet.findIndex((block) => block.includes(words));
  assert.notEqual(index, -1, words);
  return index;
};
const verifying = at('countersign audit export');

forEachDatabase('a reader follows the first-fleet page', (newUrl, kind) => {
  test('to an enforced, drilled path and a verified log, and the pages that go on from there', async () => {
    await using session = await PageSession.open();
    const upOnPostgres = kind === 'postgres' ? await startBlock(await newUrl()) : null;
    for (const [index, block] of firstFleet.slice(0, verifying).entries())
      await session.run(index === at('countersign up') && upOnPostgres !== null ? upOnPostgres : block);
    const further = kind === 'postgres' ? [] : pagesThatGoOn;
    for (const page of further) for (const block of readBlocks(`docs/how-to/${page}.md`)) await session.run(block);
    for (const block of firstFleet.slice(verifying)) await session.run(block);
    assert.equal(await session.leave(), 'nothing left');
  });
});

/** As the page on PostgreSQL says it, with the address of this database. */
async function startBlock(url: string): Promise<string> {
  const [block] = readBlocks('docs/how-to/run-on-postgresql.md');
  const found = block!.replace(/^export DATABASE=.*$/m, `export DATABASE='${url}'`);
  assert.notEqual(found, block);
  return found;
}

const pagesThatGoOn = [
  'run-the-gateway',
  'revoke-and-suspend',
  'when-a-wave-was-rolled-back',
  'let-a-probe-in',
  'verify-the-log',
  'forget-a-person',
  'back-up-and-restore',
  'change-the-key-file',
];
