import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const file = join(import.meta.dirname, '../../.test/peers/envoy/bin/envoy');

/** The program, or null where `npm run peers` did not put it. */
export const envoyProgram: string | null = existsSync(file) ? file : null;

/** A reason to leave out the tests that need Envoy, or false. With CI=true its absence is no reason: they fail. */
export const withoutEnvoy: string | false = envoyProgram !== null || process.env['CI'] === 'true' ? false : 'no Envoy here (npm run peers)';

export type EnvoyProcess = AsyncDisposable & {
  readonly pid: number;
  /** What it wrote, the last of it. */
  readonly said: () => string;
  readonly isAlive: () => boolean;
  /** As a crash would. */
  kill(): Promise<void>;
};

/** Starts a real Envoy with this bootstrap, as the how-to does. It does not wait until it serves. */
export function startEnvoy(
  bootstrap: string,
  options: { readonly concurrency?: number; readonly drainSeconds?: number } = {},
): EnvoyProcess {
  const { concurrency = 1, drainSeconds = 1 } = options;
  const args = ['-c', bootstrap, '--disable-hot-restart', '--concurrency', String(concurrency), '-l', 'warn'];
  const draining = ['--drain-time-s', String(drainSeconds), '--drain-strategy', 'immediate'];
  const child = spawn(envoyProgram!, [...args, ...draining], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-50_000)));
  const ended = once(child, 'exit');
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (isAlive()) child.kill(signal);
    await ended;
  };
  return { pid: child.pid!, said: () => said, isAlive, kill: () => end('SIGKILL'), [Symbol.asyncDispose]: () => end('SIGTERM') };
}
