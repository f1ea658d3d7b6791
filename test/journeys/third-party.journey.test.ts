import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader calls a third party that is checked with its CA, by a certificate of that CA whose key stays at the proxy', async () => {
  await using session = await PageSession.open();
  const fleet = readBlocks('docs/how-to/first-fleet.md');
  const exchange = fleet.findIndex((block) => block.includes('countersign token exchange'));
  assert.notEqual(exchange, -1);
  // The services of that page are of no use here, and nobody would stop them.
  const plane = fleet.slice(0, exchange + 1).filter((block) => !block.includes('.mjs'));
  for (const block of plane) await session.run(block);
  for (const block of readBlocks('docs/how-to/call-a-third-party.md')) await session.run(block);
  assert.equal(await session.leave(), 'nothing left');
});
