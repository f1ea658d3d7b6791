import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lockFolder } from './lock-folder.ts';

const path = mkdtempSync(join(tmpdir(), 'countersign-lock-'));
after(() => rmSync(path, { recursive: true }));

test('a folder is one holder’s until it lets go', () => {
  const release = lockFolder(path);
  assert.throws(() => lockFolder(path), { code: 'state-conflict' });
  release();
  lockFolder(path)();
});

test('a folder is free again once the process that held it was killed', async () => {
  const program = `import { lockFolder } from ${JSON.stringify(join(import.meta.dirname, 'lock-folder.ts'))};
lockFolder(process.argv[1]); console.log('held'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data');
  assert.throws(() => lockFolder(path), { code: 'state-conflict' });
  holder.kill('SIGKILL');
  await ended;
  lockFolder(path)();
});
