import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openUnixListener } from './unix-listener.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-unix-'));
after(() => rm(folder, { recursive: true }));
let number = 0;

async function newPath(): Promise<string> {
  const own = join(folder, String(++number));
  await mkdir(own, { mode: 0o700 });
  return join(own, 'sds.sock');
}

function open(path: string, maximumConnections = 4) {
  return openUnixListener({ path, maximumConnections, onConnection: (socket) => void socket.end('hello') });
}

async function greeting(path: string): Promise<string> {
  const socket = connect(path);
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(socket, 'close').catch(() => {});
  return said;
}

test('the socket is its owner’s alone, in a folder that is, too', async () => {
  const path = join(folder, 'made', 'sds.sock');
  await using _ = await open(path);
  assert.equal((await lstat(path)).mode & 0o777, 0o600);
  assert.equal((await lstat(join(folder, 'made'))).mode & 0o777, 0o700);
  assert.equal(await greeting(path), 'hello');
});

test('what a predecessor left that was killed is replaced; one that lives is not', async () => {
  const path = await newPath();
  const script = `require('node:net').createServer((socket) => socket.on('error', () => {}).end('old')).listen(${JSON.stringify(path)}, () => console.log('there'))`;
  const old = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(old.stdout, 'data');
  await assert.rejects(open(path), { code: 'state-conflict' });
  assert.equal(await greeting(path), 'old');
  old.kill('SIGKILL');
  await once(old, 'exit');
  await using _ = await open(path);
  assert.equal(await greeting(path), 'hello');
});

test('a folder that others may enter, a file in the way and a path that is too long are refused', async () => {
  const path = await newPath();
  await writeFile(path, 'precious');
  await assert.rejects(open(path), { code: 'state-conflict' });
  const shared = await newPath();
  await chmod(join(shared, '..'), 0o750);
  await assert.rejects(open(shared), { code: 'state-permissions' });
  for (const wrong of ['sds.sock', join(folder, 'x'.repeat(107))]) await assert.rejects(open(wrong), { code: 'input-invalid' });
});

test('who ends takes its socket with it, and not its successor’s', async () => {
  const path = await newPath();
  const first = await open(path);
  await rm(path);
  const second = await open(path);
  await first[Symbol.asyncDispose]();
  assert.equal(await greeting(path), 'hello');
  await second[Symbol.asyncDispose]();
  await assert.rejects(lstat(path), { code: 'ENOENT' });
});
