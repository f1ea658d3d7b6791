import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader takes two Node services with the SDK inside to an enforced, drilled path', async () => {
  await using session = await PageSession.open();
  const fleet = readBlocks('docs/how-to/first-fleet.md');
  const exchange = fleet.findIndex((block) => block.includes('countersign token exchange'));
  assert.notEqual(exchange, -1);
  for (const block of fleet.slice(0, exchange + 1)) await session.run(block);
  for (const block of readBlocks('docs/how-to/call-another-service-from-node.md')) await session.run(block);
});
