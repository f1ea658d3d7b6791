import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

test('a run of tests that is ended fails, and leaves no folder behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-ended-'));
  // PostgreSQL runs under another user when this one is root.
  chmodSync(folder, 0o711);
  try {
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
    const child = spawn(process.execPath, [join(import.meta.dirname, 'run-tests.ts'), 'control/ca/revocation.integration'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...env, CI: '', TMPDIR: folder, COUNTERSIGN_TEST_MEMORY: folder },
    });
    let said = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      const before = said;
      said += chunk;
      if (!IS_UNDER_WAY.test(before) && IS_UNDER_WAY.test(said)) child.kill('SIGTERM');
    }
    const code = child.exitCode ?? (await once(child, 'exit'))[0];
    assert.match(said, IS_UNDER_WAY);
    assert.equal(code, 1, said);
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});

const IS_UNDER_WAY = /integration: 1 files\n\.{3}/;
