import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { forEachDatabase } from '../support/databases.ts';
import { runKillRounds } from './kill-rounds.ts';

forEachDatabase('the CA under kill -9', (newUrl) => {
  test('returns no certificate that is not in store and log, over 20 deaths', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-kill-'));
    try {
      const seed = Date.now() % 2 ** 31;
      context.diagnostic(`seed ${seed}`);
      const report = await runKillRounds({ folder, database: await newUrl(), rounds: 20, seed });
      assert.ok(report.returned > 0, 'no round was long enough to issue');
      assert.ok(report.logged >= report.returned);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
