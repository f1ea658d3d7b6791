import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from '../support/peer-program.ts';
import { PageSession, readBlocks } from './page-session.ts';

test(
  'a reader hardens an HAProxy of others, holds it against the policy and revokes a caller',
  { skip: missing('haproxy') || missing('curl') },
  async () => {
    await using session = await PageSession.open();
    const fleet = readBlocks('docs/how-to/first-fleet.md');
    const exchange = fleet.findIndex((block) => block.includes('countersign token exchange'));
    assert.notEqual(exchange, -1);
    // The services of that page are of no use here, and nobody would stop them.
    const plane = fleet.slice(0, exchange + 1).filter((block) => !block.includes('.mjs'));
    for (const block of plane) await session.run(block);
    for (const block of readBlocks('docs/how-to/harden-a-proxy-that-we-do-not-run.md')) await session.run(block);
    assert.equal(await session.leave(), 'nothing left');
  },
);
