import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { proxyNodeOptions } from '../dataplane/proxy/node-options.ts';
import { SERVER_ENVIRONMENT } from '../server/process-environment.ts';
import { pause } from '../platform/clock/pause.ts';

export type Supervised = {
  readonly name: string;
  /** The arguments of the next start; it may wait for what the program needs. Null: do not start it any more. */
  readonly prepare: (signal: AbortSignal) => Promise<readonly string[] | null>;
};

export type Supervision = {
  /** Ends the program, and with it the supervision. */
  readonly ending: AbortSignal;
  /** Ends it at once, without waiting for what it still has to do. */
  readonly killing: AbortSignal;
  readonly remark: (text: string) => void;
};

/**
 * Runs a program of Countersign as a process of its own: started again after it died, later each time up to ten seconds; told to end
 * when `ending` aborts, and killed when it has not ended in time. Resolves when nothing of it runs any more.
 * The program ends by itself when this process dies, because the channel between them closes.
 */
export async function supervise({ name, prepare }: Supervised, { ending, killing, remark }: Supervision): Promise<void> {
  let waitMs = FIRST_WAIT_MS;
  while (!ending.aborted) {
    const args = await prepare(ending);
    if (args === null || ending.aborted) return;
    const startedAt = performance.now();
    const how = await runOnce(args, ending, killing);
    if (ending.aborted) return;
    waitMs = performance.now() - startedAt > STEADY_MS ? FIRST_WAIT_MS : Math.min(waitMs * 2, LAST_WAIT_MS);
    remark(`${name} ended by ${how}; it starts again in ${waitMs} ms`);
    await pause(waitMs, ending);
  }
}

/** Resolves with how the process ended, for people. */
async function runOnce(args: readonly string[], ending: AbortSignal, killing: AbortSignal): Promise<string> {
  // A session of its own: Ctrl-C on the terminal is told to the supervisor alone, which passes it on once.
  const options = args[0] === 'proxy' ? proxyNodeOptions(process) : [];
  const command = ['--disable-warning=ExperimentalWarning', ...options, join(import.meta.dirname, 'main.ts'), ...args];
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: args[0] === 'server' ? { ...SERVER_ENVIRONMENT, ...process.env } : process.env,
    detached: true,
  });
  let last: NodeJS.Timeout | undefined;
  const kill = (): void => void child.kill('SIGKILL');
  const end = (): void => {
    child.kill('SIGTERM');
    last = setTimeout(kill, GRACE_MS);
  };
  ending.addEventListener('abort', end);
  killing.addEventListener('abort', kill);
  if (ending.aborted) end();
  const how = await ended(child);
  clearTimeout(last);
  ending.removeEventListener('abort', end);
  killing.removeEventListener('abort', kill);
  return how;
}

function ended(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  child.once('error', ({ message }) => resolve(message));
  child.once('exit', (code, signal) => resolve(code === null ? `signal ${signal}` : `exit code ${code}`));
  return promise;
}

const FIRST_WAIT_MS = 250;
const LAST_WAIT_MS = 10_000;
/** A program that ran for so long was well; its next death starts the waiting anew. */
const STEADY_MS = 30_000;
/** A gateway lets open connections end for eight seconds. */
const GRACE_MS = 12_000;
