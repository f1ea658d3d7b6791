import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePem } from '../src/core/x509/pem.ts';
import { makeTestAuthority, type TestCredential } from '../test/support/test-authority.ts';
import type { LoadJob, LoadResult, LoadTarget } from './gateway-client.ts';
import { gateways } from './gateway-contenders.ts';
import { CALLER, type Gateway, launch, SERVICE, type Surroundings } from './gateway-setup.ts';
import { quantile } from './load.ts';
import type { Axis, Contender, Measurement } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { freePort, stopProgram } from './program.ts';

/** Gateways that end mutual TLS 1.3 and hand HTTP/1.1 on in the clear, one worker each, before the same service. */
export const gatewayAxis: Axis = {
  name: 'gateway',
  meaning:
    'mutual TLS in front, HTTP/1.1 behind: server CPU a new connection and a kept-alive request, p99 of a handshake, memory a connection',
  contenders: async () => gateways.map(contender),
};

function contender(gateway: Gateway): Contender {
  const { name, program } = gateway;
  return {
    name,
    absent: () => (program === null ? 'not installed (npm run peers -- bench)' : null),
    measure: () => measureGateway(gateway, ['handshake', 'request', 'memory']),
  };
}

export type Part = 'handshake' | 'request' | 'memory';

/** Starts gateway, service and client, each in a process of its own, and measures these parts. */
export async function measureGateway(gateway: Gateway, parts: readonly Part[]): Promise<Omit<Measurement, 'contender'>[]> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const around = await prepareSurroundings(folder);
  const origin = await startHelper('plain-origin.ts', [String(around.surroundings.originPort)]);
  stack.defer(() => stopHelper(origin));
  const child = launch(await gateway.prepare(around.surroundings, gateway.program!));
  stack.defer(() => stopProgram(child));
  let errors = '';
  child.stderr.on('data', (octets: Buffer) => (errors = (errors + octets.toString()).slice(-2_000)));
  await untilOpen(around.surroundings.port, child, () => errors);
  const client = await startHelper('gateway-client.ts', [JSON.stringify(around.target)]);
  stack.defer(() => stopHelper(client));
  const server = new MeasuredServer(child.pid!, client);
  // What runs for the first time is compiled: that is measured by the axis startup.
  await server.run({ kind: 'calls', connections: 64, count: 15_000 });
  await server.run({ kind: 'handshakes', atATime: 8, count: 1_000 });
  const results: Omit<Measurement, 'contender'>[] = [];
  if (parts.includes('handshake')) results.push(...(await measureHandshakes(server)));
  if (parts.includes('request')) results.push(...(await measureRequests(server)));
  if (parts.includes('memory')) results.push(...(await measureMemory(server)));
  return results;
}

async function measureHandshakes(server: MeasuredServer): Promise<Omit<Measurement, 'contender'>[]> {
  const full = await server.run({ kind: 'handshakes', atATime: 8, count: HANDSHAKES });
  const perSecond = Math.floor((HANDSHAKES / full.wallMs) * 1_000 * LOAD_PART);
  const rated = await server.run({ kind: 'rate', perSecond, count: perSecond * RATED_SECONDS });
  return [
    { metric: 'handshake_cpu_us', unit: 'us', value: (full.cpuMs * 1_000) / HANDSHAKES },
    { metric: 'handshakes_per_s', unit: '1/s', value: (HANDSHAKES * 1_000) / full.wallMs },
    { metric: 'p99_ms', unit: 'ms', value: quantile(rated.waitsMs, 0.99) },
  ];
}

async function measureRequests(server: MeasuredServer): Promise<Omit<Measurement, 'contender'>[]> {
  const many = await server.run({ kind: 'calls', connections: 64, count: REQUESTS });
  return [
    { metric: 'request_cpu_us', unit: 'us', value: (many.cpuMs * 1_000) / REQUESTS },
    { metric: 'requests_per_s', unit: '1/s', value: (REQUESTS * 1_000) / many.wallMs },
  ];
}

async function measureMemory(server: MeasuredServer): Promise<Omit<Measurement, 'contender'>[]> {
  const before = server.rssMb;
  await server.run({ kind: 'idle', connections: IDLE_CONNECTIONS });
  return [{ metric: 'kb_per_connection', unit: 'kB', value: ((server.rssMb - before) * 1_024) / IDLE_CONNECTIONS }];
}

/** The gateway's process tree, and the client that loads it. */
class MeasuredServer {
  readonly #pid: number;
  readonly #client: ChildProcess;

  constructor(pid: number, client: ChildProcess) {
    this.#pid = pid;
    this.#client = client;
  }

  get rssMb(): number {
    return readUsage(this.#pid).rssMb;
  }

  /** @throws Error if a call failed: then the figure would be that of something else */
  async run(job: LoadJob): Promise<LoadResult & { readonly cpuMs: number }> {
    const { cpuMs } = readUsage(this.#pid);
    this.#client.send(job);
    const [result] = (await once(this.#client, 'message')) as [LoadResult];
    if (result.failed > 0) throw new Error(`${job.kind}: ${result.failed} failed`);
    return { ...result, cpuMs: readUsage(this.#pid).cpuMs - cpuMs };
  }
}

async function prepareSurroundings(folder: string): Promise<{ readonly surroundings: Surroundings; readonly target: LoadTarget }> {
  const authority = makeTestAuthority(Date.now(), 'Bench');
  const server = authority.issue({ uris: [SERVICE], dnsNames: ['gateway.bench.example'] });
  const caller = authority.issue({ uris: [CALLER] });
  const [port, originPort] = [await freePort(), await freePort()];
  const files = {
    certFile: join(folder, 'server.pem'),
    keyFile: join(folder, 'server.key'),
    bothFile: join(folder, 'both.pem'),
    rootFile: join(folder, 'root.pem'),
  };
  await writeFile(files.certFile, chainOf(server));
  await writeFile(files.keyFile, keyOf(server));
  await writeFile(files.bothFile, chainOf(server) + keyOf(server));
  await writeFile(files.rootFile, encodePem('CERTIFICATE', authority.root.der));
  const target = { port, certFile: join(folder, 'caller.pem'), keyFile: join(folder, 'caller.key') };
  await writeFile(target.certFile, chainOf(caller));
  await writeFile(target.keyFile, keyOf(caller));
  return { surroundings: { folder, port, originPort, authority, server, ...files }, target };
}

function chainOf({ chain }: TestCredential): string {
  return chain.map((der) => encodePem('CERTIFICATE', der)).join('');
}

function keyOf({ key }: TestCredential): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

async function startHelper(file: string, args: readonly string[]): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
  });
  await once(child, 'message');
  return child;
}

/** It ends when nobody listens to it any more. */
async function stopHelper(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
}

async function untilOpen(port: number, child: ChildProcess, errors: () => string): Promise<void> {
  for (let tries = 0; tries < MAXIMUM_TRIES && child.exitCode === null; tries++) {
    if (await accepts(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${child.spawnargs[0]} does not listen: ${errors()}`);
}

function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1', () => resolve(true));
  socket.on('error', () => resolve(false));
  void promise.then(() => socket.destroy());
  return promise;
}

const HANDSHAKES = 3_000;
const REQUESTS = 60_000;
/** HAProxy wants two descriptors for each, and 20,000 are what a process may have on many machines. */
const IDLE_CONNECTIONS = 9_900;
/** Of what the gateway managed just before. */
const LOAD_PART = 0.7;
const RATED_SECONDS = 5;
const MAXIMUM_TRIES = 1_000;
