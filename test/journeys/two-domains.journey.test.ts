import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader has a service of another trust domain call one of ours, enforced, and shuts it out again', async () => {
  await using session = await PageSession.open();
  for (const block of readBlocks('docs/how-to/trust-another-trust-domain.md')) await session.run(block);
  assert.equal(await session.leave(), 'nothing left');
});
