import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

const root = join(import.meta.dirname, '../..');
const node = ['--disable-warning=ExperimentalWarning', join(root, 'src/cli/main.ts')];

/** All that a command gets to know of this process' environment: where programs are, and what Node has compiled before. */
const kept = Object.fromEntries(['PATH', 'NODE_COMPILE_CACHE'].map((name) => [name, process.env[name]]));

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Runs one command line of the product to its end, in a process of its own. */
export async function runCommand(
  args: readonly string[],
  { input = '', env = {} }: { readonly input?: string; readonly env?: { readonly [name: string]: string } } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...node, ...args], { stdio: 'pipe', env: { ...kept, ...env } });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: code as number | null, stdout, stderr };
}

export type ServerProcess = AsyncDisposable & {
  readonly pid: number;
  /** `IP:PORT` of each listener. */
  readonly addresses: { readonly admin: string; readonly dataPlane: string; readonly public: string };
  readonly logged: readonly { readonly msg: string; readonly [field: string]: unknown }[];
  /** Ends it by SIGTERM and waits for the end of it and of what it runs under. */
  stop(): Promise<number | null>;
};

/** A configuration with ports that the system chooses; relative paths are taken from the folder. Answers with its path. */
export function writeServerConfig(folder: string, lines: readonly string[] = []): string {
  const file = join(folder, 'countersign.yaml');
  const ports = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}';
  const usual = ['dataDirectory: data', 'keyFile: kek', 'trustDomain: acme.example', ports];
  const overridden = new Set(lines.map((line) => line.split(':', 1)[0]));
  writeFileSync(file, `${[...usual.filter((line) => !overridden.has(line.split(':', 1)[0])), ...lines].join('\n')}\n`);
  return file;
}

/** Starts `countersign server`, under another program where one is named, and waits until it listens. @throws if it ends before */
export async function startServerProcess(config: string, under: readonly string[] = []): Promise<ServerProcess> {
  const [program, ...args] = [...under, process.execPath, ...node, 'server', '--config', config];
  const child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const logged: ServerProcess['logged'][number][] = [];
  const { pid, addresses } = await readUntilListening(child, logged, ended);
  const stop = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid, 'SIGTERM');
    return (await ended)[0];
  };
  return { pid, addresses, logged, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

function readUntilListening(
  child: ChildProcess,
  logged: { readonly msg: string; readonly [field: string]: unknown }[],
  ended: Promise<unknown>,
): Promise<{ readonly pid: number; readonly addresses: ServerProcess['addresses'] }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ pid: number; addresses: ServerProcess['addresses'] }>();
  const said: string[] = [];
  createInterface(child.stderr!).on('line', (line) => {
    said.push(line);
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line) as (typeof logged)[number];
    logged.push(event);
    if (event.msg === 'server listens') resolve(event as unknown as { pid: number; addresses: ServerProcess['addresses'] });
  });
  void ended.then(() => reject(new Error(`the server ended before it listened: ${said.join('\n')}`)));
  return promise.then(({ pid, ...event }) => ({ pid, addresses: event as unknown as ServerProcess['addresses'] }));
}
