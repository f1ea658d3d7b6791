import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { REVOKED_SET_TYPE } from '../src/core/messages/type-urls.ts';
import type { ClientOrder } from './ads-client.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { jsonOf, openConnection } from './json-connection.ts';
import type { Axis, Contender } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { nextMessage, stopProgram } from './program.ts';
import { measurePushes } from './pushes.ts';
import { policyDocument, seedFleet, type SeededFleet } from './seed-fleet.ts';

/** A fleet of data planes, each with an ADS stream on a mutual TLS connection of its own, at a real control plane. */
export const adsAxis: Axis = {
  name: 'ads',
  meaning: `${streamCount()} ADS streams (BENCH_STREAMS): memory each, until all acknowledged one change, CPU time a push; node:http2 alone beside it`,
  contenders: async () => [
    { name: 'countersign', absent: missingDescriptors, measure: measureControlPlane },
    { name: 'node-http2', absent: missingDescriptors, measure: measureBareServer },
    { name: 'countersign-gateway', absent: () => null, measure: () => measurePushes('gateway') },
    { name: 'countersign-sdk', absent: () => null, measure: () => measurePushes('sdk') },
  ],
};

type Figures = Awaited<ReturnType<Contender['measure']>>;

async function measureControlPlane(): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const fleetFile = join(folder, 'fleet.json');
  let control: ControlPlane | null = null;
  const clients: ChildProcess[] = [];
  try {
    control = await startControlPlane(folder, {
      whenMade: async (_database, config) => writeFile(fleetFile, JSON.stringify(await seedFleet(config, streamCount()))),
    });
    await untilQuiet(control);
    const before = readUsage(control.pid);
    clients.push(...(await connectClients(control.dataPlanePort, fleetFile)));
    await untilQuiet(control);
    await settle();
    const connected = readUsage(control.pid);
    const revocation = await timeRevocation(control, clients);
    const settings = await timeSettings(control);
    return [
      { metric: 'kb_per_stream', unit: 'kB', value: kbPerStream(before.rssMb, connected.rssMb) },
      { metric: 'connect_cpu_ms', unit: 'ms', value: (connected.cpuMs - before.cpuMs) / streamCount() },
      { metric: 'all_acknowledged_s', unit: 's', value: settings.seconds },
      { metric: 'push_cpu_us', unit: 'µs', value: (settings.cpuMs * 1_000) / streamCount() },
      { metric: 'revocation_acknowledged_s', unit: 's', value: revocation.seconds },
      { metric: 'revocation_push_cpu_us', unit: 'µs', value: (revocation.cpuMs * 1_000) / streamCount() },
      { metric: 'kb_per_stream_after_pushes', unit: 'kB', value: kbPerStream(before.rssMb, readUsage(control.pid).rssMb) },
    ];
  } finally {
    for (const client of clients) client.kill('SIGKILL');
    await control?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureBareServer(): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const fleetFile = join(folder, 'fleet.json');
  await writeFile(fleetFile, JSON.stringify(await seedAlone(folder)));
  const server = startProgram('bare-http2.ts');
  const clients: ChildProcess[] = [];
  try {
    server.send(fleetFile);
    const port = (await nextMessage(server)) as number;
    const before = readUsage(server.pid!);
    clients.push(...(await connectClients(port, fleetFile)));
    await settle();
    const after = readUsage(server.pid!);
    return [
      { metric: 'kb_per_stream', unit: 'kB', value: kbPerStream(before.rssMb, after.rssMb) },
      { metric: 'connect_cpu_ms', unit: 'ms', value: (after.cpuMs - before.cpuMs) / streamCount() },
    ];
  } finally {
    for (const client of clients) client.kill('SIGKILL');
    await stopProgram(server);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A fleet without a control plane that runs. */
async function seedAlone(folder: string): Promise<SeededFleet> {
  const config = join(folder, 'countersign.yaml');
  const listen = 'listen:\n  admin: 127.0.0.1:0\n  dataPlane: 127.0.0.1:0\n  public: 127.0.0.1:0\n';
  await writeFile(config, `dataDirectory: data\nkeyFile: kek\ntrustDomain: bench.example\nlogLevel: error\n${listen}`);
  return seedFleet(config, streamCount());
}

/** Of one set for all, from the order until the last data plane has acknowledged it. */
async function timeRevocation(control: ControlPlane, clients: readonly ChildProcess[]): Promise<Timed> {
  for (const client of clients) {
    client.send({ kind: 'watch', typeUrl: REVOKED_SET_TYPE } satisfies ClientOrder);
    await nextMessage(client);
  }
  return timed(control, async (order) => {
    const suspended = order('/v1/identities/suspend', { spiffeId: 'spiffe://bench.example/production/web', reason: 'bench' });
    await Promise.all([suspended, ...clients.map(nextMessage)]);
  });
}

/** Of other settings for each, from the order until the last acknowledgement is in the database. */
async function timeSettings(control: ControlPlane): Promise<Timed> {
  return timed(control, async (order) => {
    await order('/v1/declarations', { text: policyDocument(4_000) });
    await untilAcknowledged(control, 2);
  });
}

export type Timed = { readonly seconds: number; readonly cpuMs: number };
export type Order = (path: string, body: object) => Promise<void>;

export async function timed(control: ControlPlane, run: (order: Order) => Promise<void>): Promise<Timed> {
  const connection = openConnection(control.adminUrl);
  const headers = { authorization: `Bearer ${control.token}`, 'content-type': 'application/json' };
  const { cpuMs } = readUsage(control.pid);
  const startedAt = performance.now();
  try {
    await run(async (path, body) => void jsonOf(await connection.send('POST', path, JSON.stringify(body), headers)));
    const seconds = (performance.now() - startedAt) / 1_000;
    // What is left to do after the last acknowledgement belongs to the push as well.
    await untilQuiet(control);
    return { seconds, cpuMs: readUsage(control.pid).cpuMs - cpuMs };
  } finally {
    await connection.close();
  }
}

/** Each settings row acknowledged at this generation or later. */
async function untilAcknowledged({ database }: ControlPlane, generation: number): Promise<void> {
  using open = new DatabaseSync(database, { readOnly: true });
  const count = open.prepare('select count(*) as found from proxy_settings where acknowledged_generation >= ?');
  const deadline = performance.now() + MAXIMUM_WAIT_MS;
  while ((count.get(generation) as { found: number }).found < streamCount()) {
    if (performance.now() > deadline) throw new Error('not all streams acknowledged');
    await pause(20);
  }
}

export async function connectClients(
  port: number,
  fleetFile: string,
  { streams = streamCount(), plane = 'native' }: { readonly streams?: number; readonly plane?: 'native' | 'envoy' } = {},
): Promise<ChildProcess[]> {
  const share = Math.ceil(streams / CLIENTS);
  const clients = Array.from({ length: CLIENTS }, () => startProgram('ads-client.ts'));
  await Promise.all(
    clients.map((client, index) => {
      const [from, to] = [index * share, Math.min(streams, (index + 1) * share)];
      client.send({ kind: 'connect', port, fleetFile, from, to, plane } satisfies ClientOrder);
      return nextMessage(client);
    }),
  );
  return clients;
}

function startProgram(file: string): ChildProcess {
  return fork(join(import.meta.dirname, file), { execArgv: ['--disable-warning=ExperimentalWarning'] });
}

/** Until it does next to nothing: what it compiles and records goes on after it answered. */
export async function untilQuiet({ pid }: ControlPlane): Promise<void> {
  for (let quiet = 0; quiet < 3;) {
    const { cpuMs } = readUsage(pid);
    await pause(500);
    quiet = readUsage(pid).cpuMs - cpuMs < QUIET_CPU_MS ? quiet + 1 : 0;
  }
}

/** Memory of handshakes is given back after a while. */
function settle(): Promise<void> {
  return pause(5_000);
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function kbPerStream(beforeMb: number, afterMb: number): number {
  return ((afterMb - beforeMb) * 1_024) / streamCount();
}

/** Server and clients need one descriptor a stream each, and some. Node raises its own limit up to the hard one. */
function missingDescriptors(): string | null {
  const hard = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  const needed = streamCount() + 500;
  return hard === 'unlimited' || Number(hard) >= needed ? null : `${hard} open files a process, ${needed} needed (ulimit -Hn, as root)`;
}

function streamCount(): number {
  return Number(process.env['BENCH_STREAMS'] ?? 5_000);
}

const CLIENTS = 2;
const MAXIMUM_WAIT_MS = 120_000;
const QUIET_CPU_MS = 60;
