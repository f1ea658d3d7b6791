import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader checks an endpoint, sees what fails, and bears a finding until a day', async () => {
  await using session = await PageSession.open();
  const fleet = readBlocks('docs/how-to/first-fleet.md');
  const up = fleet.findIndex((block) => block.includes('countersign up '));
  assert.notEqual(up, -1);
  // The services of that page are of no use here, and nobody would stop them.
  const plane = fleet.slice(0, up + 1).filter((block) => !block.includes('.mjs'));
  for (const block of plane) await session.run(block);
  for (const block of readBlocks('docs/how-to/check-in-a-pipeline.md')) await session.run(block);
  await session.run('kill $(cat up.pid)\nwait $(cat up.pid) || true\n');
  assert.equal(await session.leave(), 'nothing left');
});
