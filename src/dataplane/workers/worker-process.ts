import { type ChildProcess, fork } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { dirname, join } from 'node:path';
import type { SeenKeysOptions } from '../tls/seen-keys.ts';
import type { SharedUse } from '../tls/shared-use.ts';
import { proxyNodeOptions } from '../proxy/node-options.ts';
import type { FromWorker, ToWorker, WorkerAnswer, WorkerOrder } from './worker-order.ts';

/** `lost`: it ended, or was ended because it did not answer in time. */
export type Asked = WorkerAnswer | { readonly kind: 'lost' };

/** What it tells without being asked. */
export type WorkerNews = {
  readonly onSeen: SeenKeysOptions['onNews'];
  /** What it used of limits that hold for all. */
  readonly onUse: (use: SharedUse) => unknown;
};

/** One worker: a child process that answers what it is told until it ends. Nothing here rejects: a child may die at any time. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #awaited = new Map<number, (asked: Asked) => void>();
  #next = 0;
  #whyKilled: string | null = null;
  #isOver = false;
  /** True once it takes orders; false if it ended before. */
  readonly ready: Promise<boolean>;
  /** How it ended, for people. */
  readonly ended: Promise<string>;

  /** It inherits these descriptors as its own from FIRST_INHERITED on. */
  constructor(descriptors: readonly number[], { onSeen, onUse }: WorkerNews) {
    this.#child = fork(join(import.meta.dirname, 'run-worker.ts'), [], {
      execArgv: ['--disable-warning=ExperimentalWarning', ...proxyNodeOptions(process)],
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...descriptors],
      env: workerEnvironment(),
    });
    const ready = Promise.withResolvers<boolean>();
    const ended = Promise.withResolvers<string>();
    this.ready = ready.promise;
    this.ended = ended.promise;
    const timer = setTimeout(() => this.kill('it did not start in time'), START_WITHIN_MS);
    this.#child.on('message', (message) => {
      const from = message as FromWorker;
      if (from.kind === 'use') onUse(from.use);
      else if (from.kind === 'seen') onSeen(from.endpointId, from.keys);
      else if (from.kind === 'answer') this.#awaited.get(from.id)?.(from.answer);
      else {
        clearTimeout(timer);
        ready.resolve(true);
      }
    });
    const over = (how: string): void => {
      this.#isOver = true;
      clearTimeout(timer);
      ready.resolve(false);
      ended.resolve(this.#whyKilled ?? how);
      for (const tell of this.#awaited.values()) tell({ kind: 'lost' });
    };
    this.#child.on('error', ({ message }) => {
      // What cannot be told to it leaves it behind the others.
      this.kill(message);
      if (this.#child.pid === undefined) over(message);
    });
    this.#child.once('exit', (code, signal) => over(code === null ? `signal ${signal}` : `exit code ${code}`));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with its answer; a worker that has none in time is ended, because nobody knows what it serves. */
  ask(order: WorkerOrder, withinMs: number): Promise<Asked> {
    if (this.#isOver) return Promise.resolve({ kind: 'lost' });
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Asked>();
    const timer = setTimeout(() => this.kill(`it did not answer ${order.kind} within ${withinMs} ms`), withinMs);
    this.#awaited.set(id, (asked) => {
      clearTimeout(timer);
      this.#awaited.delete(id);
      resolve(asked);
    });
    this.#send({ ...order, id });
    return promise;
  }

  /** What the others used of shared limits. */
  tellUse(use: SharedUse): void {
    if (!this.#isOver) this.#send({ kind: 'use', use });
  }

  #send(message: ToWorker): void {
    // An error is that of a channel which closed: the exit follows.
    this.#child.send(message, () => {});
  }

  kill(why: string): void {
    this.#whyKilled ??= why;
    this.#child.kill('SIGKILL');
  }
}

/** Ours, but for the sockets that are handed on apart. */
function workerEnvironment(): NodeJS.ProcessEnv {
  const { LISTEN_FDS: _fds, LISTEN_PID: _pid, LISTEN_FDNAMES: _names, ...env } = process.env;
  const cache = getCompileCacheDir();
  return cache === undefined ? env : { ...env, NODE_COMPILE_CACHE: dirname(cache) };
}

/** After stdio and the channel. */
export const FIRST_INHERITED = 4;
/** Node starts in a fifth of a second; a machine under full load takes longer. */
const START_WITHIN_MS = 30_000;
