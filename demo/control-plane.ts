import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get as getPlain } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { environment, trustDomain } from './fleet.ts';
import { takePorts } from './ports.ts';
import type { ProcessGroup, RunningProcess } from './process-group.ts';
import type { Product } from './product.ts';

const START_TIMEOUT_MS = 30_000;
const CALL_TIMEOUT_MS = 20_000;

/** Answer of one `countersign` command. */
export type CommandResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** The control plane as its operator has it: a server process, the CLI and the REST API. Nothing of its source is imported. */
export class ControlPlane {
  readonly adminUrl: string;
  readonly dataPlaneAddress: string;
  readonly publicUrl: string;
  readonly directory: string;
  readonly #product: Product;
  readonly #group: ProcessGroup;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 2 });
  readonly #commands = new Set<ChildProcess>();
  #server: RunningProcess | null = null;

  constructor(product: Product, group: ProcessGroup, directory: string) {
    this.#product = product;
    this.#group = group;
    this.directory = directory;
    const ports = takePorts(3);
    for (const socket of ports.sockets) socket.close();
    this.adminUrl = `https://127.0.0.1:${ports.first}`;
    this.dataPlaneAddress = `127.0.0.1:${ports.first + 1}`;
    this.publicUrl = `http://127.0.0.1:${ports.first + 2}`;
    mkdirSync(join(directory, 'keys'), { recursive: true, mode: 0o700 });
    writeFileSync(this.configFile, this.#configText(), { mode: 0o600 });
  }

  get configFile(): string {
    return join(this.directory, 'countersign.yaml');
  }

  get rootFile(): string {
    return join(this.directory, 'data', 'root.pem');
  }

  get tokenFile(): string {
    return join(this.directory, 'operator.token');
  }

  get process(): RunningProcess | null {
    return this.#server;
  }

  /** Starts the server; returns when its public listener answers with a checkpoint. */
  async start(): Promise<void> {
    const server = this.#group.start('control-plane', { args: [this.#product.program, 'server', '--config', this.configFile] });
    this.#server = server;
    const deadline = Date.now() + START_TIMEOUT_MS;
    let isAlive = true;
    void server.ended.then(() => (isAlive = false));
    while (!(await answers(`${this.publicUrl}/log/checkpoint`))) {
      if (!isAlive) throw new Error(`the control plane ended at its start: ${await server.ended}; see control-plane.log`);
      if (Date.now() > deadline) throw new Error('the control plane does not answer; see control-plane.log');
      await delay(50);
    }
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = null;
  }

  /** Runs a client command with server, root and token. @throws Error with what the command said, if it does not end with 0 */
  async run(...args: readonly string[]): Promise<string> {
    const result = await this.try(...args);
    if (result.code !== 0)
      throw new Error(`countersign ${args.join(' ')} ended with ${result.code}: ${(result.stderr + result.stdout).slice(-2000)}`);
    return result.stdout;
  }

  /** As `run`, and reads the answer of `--json`. */
  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run(...args, '--json')) as T;
  }

  /** Runs a command whatever comes of it. */
  async try(...args: readonly string[]): Promise<CommandResult> {
    const env = {
      ...this.#group.environment,
      COUNTERSIGN_SERVER: this.adminUrl,
      COUNTERSIGN_ROOT: this.rootFile,
      COUNTERSIGN_TOKEN_FILE: this.tokenFile,
    };
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', this.#product.program, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#commands.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const { promise, resolve } = Promise.withResolvers<number>();
    child.on('close', (code) => resolve(code ?? 255));
    const code = await promise;
    this.#commands.delete(child);
    return { code, stdout, stderr };
  }

  /** Ends the commands that still run. */
  killCommands(): void {
    for (const child of this.#commands) child.kill('SIGKILL');
  }

  /** Starts a data plane program under its own name. Descriptors are handed on as sockets that are already bound (`LISTEN_FDS`). */
  startDataPlane(name: string, args: readonly string[], descriptors: readonly number[] = []): RunningProcess {
    return this.#group.start(name, {
      args: [this.#product.program, ...args],
      env: descriptors.length === 0 ? {} : { LISTEN_FDS: String(descriptors.length) },
      descriptors,
    });
  }

  /** GET on the REST API, with the root pinned. @throws Error on any other status than 200 */
  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.#call<T>('POST', path, body);
  }

  #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const payload = body === undefined ? null : JSON.stringify(body);
    const call = request(new URL(path, this.adminUrl), {
      method,
      agent: this.#agent,
      ca: readFileSync(this.rootFile),
      timeout: CALL_TIMEOUT_MS,
      headers: {
        authorization: `Bearer ${readFileSync(this.tokenFile, 'utf8').trim()}`,
        ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      },
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${CALL_TIMEOUT_MS} ms`)));
    call.on('error', reject);
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        if (response.statusCode === undefined || response.statusCode >= 300) {
          reject(new Error(`${method} ${path} was answered with ${response.statusCode}: ${text.slice(0, 500)}`));
        } else resolve((text === '' ? undefined : JSON.parse(text)) as T);
      });
    });
    call.end(payload ?? undefined);
    return promise;
  }

  #configText(): string {
    const { host } = new URL(this.adminUrl);
    return [
      `dataDirectory: ${JSON.stringify(join(this.directory, 'data'))}`,
      `keyFile: ${JSON.stringify(join(this.directory, 'keys', 'kek'))}`,
      `trustDomain: ${trustDomain}`,
      `environment: ${environment}`,
      'region: local',
      `listen:\n  admin: ${host}\n  dataPlane: ${this.dataPlaneAddress}\n  public: ${new URL(this.publicUrl).host}`,
      'network:\n  allow: ["127.0.0.0/8"]',
      '',
    ].join('\n');
  }
}

async function answers(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const call = getPlain(url, { agent: false, timeout: 2_000 }, (response) => {
    response.resume();
    resolve(response.statusCode === 200);
  });
  call.on('timeout', () => call.destroy());
  call.on('error', () => resolve(false));
  return promise;
}
