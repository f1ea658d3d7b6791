import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { SERVER_ENVIRONMENT } from '../server/process-environment.ts';
import { PROXY_NODE_OPTIONS } from '../dataplane/proxy/node-options.ts';

const TELL = 'data:text/javascript,console.log(process.pid, process.execArgv.slice(2).join() + (process.env.MALLOC_MMAP_THRESHOLD_ ?? ""))';

/** What each Node that ran for this command line was told, apart from the telling itself. */
async function optionsOf(args: readonly string[], env: { readonly [name: string]: string } = {}): Promise<string[]> {
  const program = join(import.meta.dirname, '../../bin/countersign.js');
  const running = promisify(execFile)(process.execPath, ['--import', TELL, program, ...args], {
    env: { PATH: process.env['PATH'], ...env },
  });
  // It has no state to run with.
  const { stdout } = (await running.catch((error: unknown) => error)) as { readonly stdout: string };
  const lines = stdout.split('\n').filter((line) => /^\d+ /.test(line));
  assert.equal(new Set(lines.map((line) => line.split(' ')[0])).size, 1, 'one process');
  return lines.map((line) => line.slice(line.indexOf(' ') + 1));
}

test('a proxy runs in a Node with short pauses, in the process that was started', async () => {
  assert.deepEqual(await optionsOf(['proxy', '--state', '/nonexistent']), ['', PROXY_NODE_OPTIONS.join()]);
});

test('a control plane runs with large blocks of memory from the system, in the process that was started', async () => {
  assert.deepEqual(await optionsOf(['server', '--config', '/nonexistent']), ['', SERVER_ENVIRONMENT['MALLOC_MMAP_THRESHOLD_']!]);
});

test('no other program starts anew, nor one whose operator chose otherwise, nor one that was given sockets', async () => {
  assert.deepEqual(await optionsOf(['scanner', '--state', '/nonexistent']), ['']);
  assert.deepEqual(await optionsOf(['proxy', '--state', '/nonexistent'], { NODE_OPTIONS: '--max_semi_space_size=8' }), ['']);
  assert.deepEqual(await optionsOf(['proxy', '--state', '/nonexistent'], { LISTEN_FDS: '1' }), ['']);
  assert.deepEqual(await optionsOf(['server', '--config', '/nonexistent'], { MALLOC_MMAP_THRESHOLD_: '131072' }), ['131072']);
});
