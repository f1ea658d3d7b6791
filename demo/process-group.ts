import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A child of the demo. */
export type RunningProcess = {
  readonly name: string;
  readonly pid: number;
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  /** Resolves with the rest of the first line of output that starts with `word`; rejects when the process ends before. */
  says(word: string): Promise<string>;
  /** Asks it to end (SIGTERM) and waits; after `graceMs` it is killed. */
  stop(graceMs?: number): Promise<number | string>;
  /** Ends it at once. */
  kill(): Promise<number | string>;
};

export type StartOptions = {
  /** Node unless said otherwise. */
  readonly program?: string;
  readonly args: readonly string[];
  readonly env?: { readonly [name: string]: string };
  /** Inherited by the child as descriptors 3, 4, … */
  readonly descriptors?: readonly number[];
  readonly cwd?: string;
};

/** The demo's processes: each has its log file, and none outlives the group. */
export class ProcessGroup implements AsyncDisposable {
  readonly #logs: string;
  readonly #baseEnv: { readonly [name: string]: string };
  readonly #running = new Map<number, RunningProcess>();

  /** `logs` is a directory that exists; `env` is added to what each process gets. */
  constructor(logs: string, env: { readonly [name: string]: string }) {
    this.#logs = logs;
    this.#baseEnv = env;
  }

  get running(): readonly RunningProcess[] {
    return [...this.#running.values()];
  }

  /** What every process of the demo gets of this one's environment. */
  get environment(): { readonly [name: string]: string } {
    return { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...this.#baseEnv };
  }

  /** Starts Node, or another program, with `args`. stdout and stderr go to `<name>.log`; stdout can be waited for. */
  start(name: string, options: StartOptions): RunningProcess {
    const log = openSync(join(this.#logs, `${name}.log`), 'a', 0o600);
    const node = ['--disable-warning=ExperimentalWarning', ...options.args];
    const child = spawn(options.program ?? process.execPath, options.program === undefined ? node : options.args, {
      cwd: options.cwd ?? process.cwd(),
      env: { ...this.environment, ...options.env },
      stdio: ['ignore', 'pipe', log, ...(options.descriptors ?? [])],
    });
    closeSync(log);
    const running = watch(name, child, join(this.#logs, `${name}.log`));
    this.#running.set(running.pid, running);
    void running.ended.then(() => this.#running.delete(running.pid));
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.running.map((running) => running.stop(GRACE_MS)));
  }

  /** Ends everything at once, for an exit that cannot wait. */
  killAll(): void {
    for (const { pid } of this.#running.values()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself in this moment.
      }
    }
  }
}

function watch(name: string, child: ChildProcess, logFile: string): RunningProcess {
  if (child.pid === undefined) throw new Error(`Cannot start ${name}`);
  const log = openSync(logFile, 'a', 0o600);
  const ended = Promise.withResolvers<number | string>();
  const waiting: { readonly word: string; readonly resolve: (rest: string) => void; readonly reject: (error: Error) => void }[] = [];
  const said: string[] = [];
  let rest = '';
  child.stdout!.setEncoding('utf8');
  child.stdout!.on('data', (text: string) => {
    writeSync(log, text);
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (said.length < REMEMBERED_LINES) said.push(line);
      for (const waiter of waiting) if (line.startsWith(waiter.word)) waiter.resolve(line.slice(waiter.word.length).trim());
    }
  });
  child.on('close', (code, signal) => {
    closeSync(log);
    ended.resolve(code ?? signal ?? 'unknown');
    for (const { word, reject } of waiting) reject(new Error(`${name} ended (${code ?? signal}) before it said ${word}; see ${logFile}`));
  });
  return {
    name,
    pid: child.pid,
    ended: ended.promise,
    says: (word) => {
      const before = said.find((line) => line.startsWith(word));
      if (before !== undefined) return Promise.resolve(before.slice(word.length).trim());
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      waiting.push({ word, resolve, reject });
      if (child.exitCode !== null || child.signalCode !== null) reject(new Error(`${name} has ended; see ${logFile}`));
      return promise;
    },
    stop: async (graceMs = GRACE_MS) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      child.kill('SIGTERM');
      const how = await ended.promise;
      clearTimeout(timer);
      return how;
    },
    kill: () => {
      child.kill('SIGKILL');
      return ended.promise;
    },
  };
}

/** Longer than a service may take to end by itself. */
const GRACE_MS = 25_000;
const REMEMBERED_LINES = 64;
