import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const root = join(import.meta.dirname, '../..');

/** The fenced `sh` blocks of a page, in order. */
export function readBlocks(page: string): readonly string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
}

/**
 * A reader at a shell in a fresh directory: runs blocks as they stand in the pages, one after another in one `sh -e`, with the port numbers
 * moved to free ones. Whatever it started ends with it.
 */
export class PageSession implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'countersign-page-'));
  readonly #ports: ReadonlyMap<string, number>;
  readonly #shell: ChildProcess;
  readonly #done: AsyncIterator<string>;
  readonly #ended: Promise<number | null>;
  #count = 0;

  static async open(): Promise<PageSession> {
    return new PageSession(await freePorts());
  }

  private constructor(ports: ReadonlyMap<string, number>) {
    this.#ports = ports;
    const log = openSync(this.logFile, 'a');
    // A process group of its own: what a block puts into the background stays in it and can be ended with it.
    this.#shell = spawn('sh', ['-e'], {
      cwd: this.#folder,
      detached: true,
      stdio: ['pipe', log, log, 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.#folder,
        COUNTERSIGN_HOME: root,
        NODE_OPTIONS: '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(this.#folder, '.cache/countersign'),
      },
    });
    closeSync(log);
    this.#ended = new Promise((resolve) => this.#shell.once('exit', resolve));
    this.#done = createInterface({ input: this.#shell.stdio[3] as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  get logFile(): string {
    return join(this.#folder, 'session.log');
  }

  /** Runs one block. @throws Error with the end of what the session said, if a command failed or the block did not end in time */
  async run(block: string): Promise<void> {
    const file = join(this.#folder, `block-${++this.#count}.sh`);
    writeFileSync(file, this.#movePorts(block));
    this.#shell.stdin!.write(`echo '--- block ${this.#count}'\n. '${file}' < /dev/null\necho done >&3\n`);
    const limit = new AbortController();
    const outcome = await Promise.race([
      this.#done.next().then(({ done }) => (done === true ? 'the shell ended' : 'done')),
      this.#ended.then((code) => `a command failed, the shell ended with ${code}`),
      delay(BLOCK_MS, `no end within ${BLOCK_MS / 1_000} s`, { signal: limit.signal }).catch(() => ''),
    ]);
    limit.abort();
    if (outcome !== 'done')
      throw new Error(`block ${this.#count}: ${outcome}\n${block}\n${readFileSync(this.logFile, 'utf8').slice(-3_000)}`);
  }

  /** Ends the shell and tells whether everything that it had started was ended before. */
  async leave(): Promise<'nothing left' | 'processes left'> {
    this.#shell.stdin!.end();
    await this.#ended;
    return this.#isGroupAlive() ? 'processes left' : 'nothing left';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal('SIGTERM');
    const deadline = Date.now() + END_MS;
    while (this.#isGroupAlive() && Date.now() < deadline) await delay(50);
    this.#signal('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #movePorts(block: string): string {
    return block.replaceAll(/\b\d{4}\b/g, (port) => String(this.#ports.get(port) ?? port));
  }

  #isGroupAlive(): boolean {
    return this.#signal(0);
  }

  /** False if no process of the group is left. */
  #signal(signal: NodeJS.Signals | 0): boolean {
    try {
      process.kill(-this.#shell.pid!, signal);
      return true;
    } catch {
      return false;
    }
  }
}

/** The same distance for all, so that a range of ports stays one. */
async function freePorts(): Promise<ReadonlyMap<string, number>> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const distance = 1_000 + Math.floor(Math.random() * 21_000);
    const servers = await Promise.all(portsOfPages.map((port) => listen(port + distance)));
    const isFree = servers.every((server) => server !== null);
    await Promise.all(servers.map((server) => new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)))));
    if (isFree) return new Map(portsOfPages.map((port) => [String(port), port + distance]));
  }
  throw new Error('no free ports for the pages');
}

function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

const portsOfPages = [8443, 8444, 8446, 8447, 8080, 7443, 7444, 7447, 7080, 9101, 9102, 9111, 9201, 9301, 8445];
const BLOCK_MS = 150_000;
const END_MS = 15_000;
