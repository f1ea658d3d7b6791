import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Output } from './output.ts';
import { type Run, textOption } from './command.ts';

/** `countersign up`: a control plane and a gateway, each a process of its own, started again when it dies, ended together. */
export const run: Run = async (invocation) => {
  const directory = resolve(textOption(invocation, 'directory') ?? 'countersign');
  await prepareDirectory(directory);
  const { output } = invocation;
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  output.remark(`control plane: https://127.0.0.1:8443, its directory ${directory}`);
  output.remark(
    `first start: countersign token exchange --server https://127.0.0.1:8443 --root ${join(directory, 'data/root.pem')} --bootstrap-file ${join(directory, 'data/bootstrap.token')} --name ME --out admin.token`,
  );
  const gatewayToken = join(directory, 'gateway.token');
  output.remark(`the gateway starts when it is declared and its join token lies in ${gatewayToken}`);
  await Promise.all([
    supervise('server', () => ['server', '--config', join(directory, 'countersign.yaml')], output, stopping.signal),
    superviseGateway(directory, gatewayToken, output, stopping.signal),
  ]);
  return 'ok';
};

/** The configuration of a first start: everything on loopback, the key file beside the data directory and not in it. */
async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'countersign.yaml');
  if (existsSync(file)) return;
  await writeFile(
    file,
    [
      'dataDirectory: data',
      'keyFile: countersign.kek',
      'trustDomain: countersign.local',
      'environment: production',
      'region: local',
      '',
    ].join('\n'),
    { mode: 0o600, flag: 'wx' },
  );
}

/** The gateway joins once its token is there; a state directory that already holds a certificate needs none. */
async function superviseGateway(directory: string, tokenFile: string, output: Output, signal: AbortSignal): Promise<void> {
  const state = join(directory, 'gateway');
  while (!signal.aborted && !existsSync(tokenFile) && !existsSync(join(state, 'identity'))) await pause(500, signal);
  if (signal.aborted) return;
  await supervise(
    'gateway',
    () => ['proxy', '--control', '127.0.0.1:8444', '--state', state, '--join-token-file', tokenFile],
    output,
    signal,
  );
}

/** Starts the program again after it died, later each time up to ten seconds; ends it when told to and waits for its end. */
async function supervise(name: string, args: () => readonly string[], output: Output, signal: AbortSignal): Promise<void> {
  let waitMs = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const startedAt = performance.now();
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'main.ts'), ...args()], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const code = await ended(child, signal);
    if (signal.aborted) return;
    waitMs = performance.now() - startedAt > STEADY_MS ? FIRST_WAIT_MS : Math.min(waitMs * 2, LAST_WAIT_MS);
    output.remark(`${name} ended with ${code}; it starts again in ${waitMs} ms`);
    await pause(waitMs, signal);
  }
}

function ended(child: ChildProcess, signal: AbortSignal): Promise<string> {
  const { promise, resolve: done } = Promise.withResolvers<string>();
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  child.once('error', (error) => done(error.message));
  child.once('exit', (code, by) => {
    signal.removeEventListener('abort', stop);
    done(code === null ? String(by) : `exit code ${code}`);
  });
  return promise;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve: done } = Promise.withResolvers<void>();
  const timer = setTimeout(done, milliseconds);
  signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
  return promise;
}

const FIRST_WAIT_MS = 250;
const LAST_WAIT_MS = 10_000;
/** A program that ran for so long was well; its next death starts the waiting anew. */
const STEADY_MS = 30_000;
