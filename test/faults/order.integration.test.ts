import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { forEachDatabase } from '../support/databases.ts';
import { runOrderRounds } from './order-rounds.ts';

forEachDatabase('orders at another CA under kill -9', (newUrl) => {
  test('come to one certificate each, whenever whoever drives them dies', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-orders-'));
    const lives: number[] = [];
    const random = (): number => lives[lives.push(Math.random()) - 1]!;
    try {
      const databases = { database: await newUrl(), otherDatabase: await newUrl() };
      const report = await runOrderRounds({ folder, ...databases, kills: 5, orders: 4, random });
      assert.deepEqual(report, { kills: 5, orders: 4, given: 4, logged: 4 });
    } finally {
      context.diagnostic(`died after ${lives.map((life) => life.toFixed(3)).join(', ')} of the longest life`);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
