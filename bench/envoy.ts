import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions } from 'node:tls';
import { ROUTE_TYPE } from '../src/core/messages/type-urls.ts';
import { withoutEnvoy } from '../test/support/envoy-process.ts';
import { connectClients, pause, timed, untilQuiet } from './ads.ts';
import type { ClientOrder } from './ads-client.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { type EnvoyFleet, openEnvoyFleet } from './envoy-fleet.ts';
import { jsonOf, openConnection } from './json-connection.ts';
import type { Axis, Contender } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { nextMessage } from './program.ts';
import { answersPolicyDocument, seedFleet, tlsPolicyDocument } from './seed-fleet.ts';

const RESOURCES = 1_000;
/** An endpoint is a cluster, its endpoints, a secret, a listener and its routes. */
const KINDS = 5;
const ROTATIONS = 40;
const WORKERS = 8;

/** What a control plane that was started has Envoys do, and how soon. */
export const envoyAxis: Axis = {
  name: 'envoy',
  meaning: `${streamCount()} light streams (BENCH_ENVOY_STREAMS) and one change of policy; ${RESOURCES} resources on a real Envoy; ${ROTATIONS} rotations under load; revocation to the last call`,
  contenders: async () => [
    { name: 'light-streams', absent: () => null, measure: measureStreams },
    { name: 'resources', absent, measure: measureResources },
    { name: 'rotations', absent, measure: measureRotations },
    { name: 'revocation', absent, measure: measureRevocation },
  ],
};

type Figures = Awaited<ReturnType<Contender['measure']>>;

const absent = (): string | null => (withoutEnvoy === false ? null : withoutEnvoy);

async function measureStreams(): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const fleetFile = join(folder, 'fleet.json');
  const streams = streamCount();
  const clients: ChildProcess[] = [];
  let control: ControlPlane | null = null;
  try {
    control = await startControlPlane(folder, {
      whenMade: async (_database, config) => writeFile(fleetFile, JSON.stringify(await seedFleet(config, streams, 'envoy'))),
    });
    await untilQuiet(control);
    const before = readUsage(control.pid);
    clients.push(...(await connectClients(control.dataPlanePort, fleetFile, { streams, plane: 'envoy' })));
    await untilQuiet(control);
    const connected = readUsage(control.pid);
    for (const client of clients) {
      client.send({ kind: 'watch', typeUrl: ROUTE_TYPE } satisfies ClientOrder);
      await nextMessage(client);
    }
    const counted = await countersOf(control);
    const change = await timed(control, async (order) => {
      const applied = order('/v1/declarations', { text: answersPolicyDocument(60) });
      await Promise.all([applied, ...clients.map(nextMessage)]);
    });
    const after = await countersOf(control);
    return [
      { metric: 'kb_per_stream', unit: 'kB', value: ((connected.rssMb - before.rssMb) * 1_024) / streams },
      { metric: 'all_acknowledged_s', unit: 's', value: change.seconds },
      { metric: 'push_cpu_us', unit: 'µs', value: (change.cpuMs * 1_000) / streams },
      { metric: 'encodings_per_answer', unit: '', value: (after.encodings - counted.encodings) / (after.answers - counted.answers) },
    ];
  } finally {
    for (const client of clients) client.kill('SIGKILL');
    await control?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function countersOf({ adminUrl, token }: ControlPlane): Promise<{ readonly encodings: number; readonly answers: number }> {
  const connection = openConnection(adminUrl);
  const { text } = await connection.send('GET', '/metrics', null, { authorization: `Bearer ${token}` });
  await connection.close();
  const read = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return {
    encodings: read('countersign_envoy_encodings_total'),
    answers: read('countersign_envoy_answers_total\\{answer="acknowledged"\\}'),
  };
}

/** From the start of an Envoy, and from a change of all its ports, until every resource is in force. */
async function measureResources(): Promise<Figures> {
  const endpoints = RESOURCES / KINDS;
  await using fleet = await openEnvoyFleet({ endpoints });
  const openedAt = performance.now();
  await fleet.until('every port is active', async () => (await activeListeners(fleet)) === endpoints);
  const active = (performance.now() - openedAt) / 1_000;
  const modified = await statOf(fleet, 'listener_manager.listener_modified');
  const change = await timed(fleet.control, async (order) => {
    await order('/v1/declarations', { text: tlsPolicyDocument('1.3') });
    await fleet.until(
      'every port is replaced',
      async () =>
        (await statOf(fleet, 'listener_manager.listener_modified')) >= modified + endpoints && (await activeListeners(fleet)) === endpoints,
    );
  });
  return [
    { metric: 'all_active_s', unit: 's', value: active },
    { metric: 'all_ports_replaced_s', unit: 's', value: change.seconds },
  ];
}

async function activeListeners(fleet: EnvoyFleet): Promise<number> {
  const text = await fleet.admin('/stats?filter=^listener_manager.total_listeners').catch(() => '');
  const read = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1] ?? -1);
  return read('warming') === 0 ? read('active') : -1;
}

async function statOf(fleet: EnvoyFleet, name: string): Promise<number> {
  return Number(/: (\d+)$/m.exec(await fleet.admin(`/stats?filter=^${name}$`))?.[1] ?? 0);
}

/** The certificate is replaced again and again while kept and new connections carry calls. */
async function measureRotations(): Promise<Figures> {
  await using fleet = await openEnvoyFleet({ endpoints: 1, rotations: ROTATIONS });
  await fleet.until('the port serves', async () => (await callOnce(fleet).catch(() => null)) !== null);
  const load = { calls: 0, failed: 0, isOver: false };
  const kept = new Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false, ...fleet.caller });
  const workers = Array.from({ length: WORKERS }, async (_, at) => {
    while (!load.isOver) {
      await callOnce(fleet, at % 2 === 0 ? kept : undefined).then(
        () => load.calls++,
        () => load.failed++,
      );
    }
  });
  const delays: number[] = [];
  for (const rotate of fleet.rotations) {
    const old = await callOnce(fleet);
    const rotatedAt = performance.now();
    rotate();
    await fleet.until('the new certificate is served', async () => (await callOnce(fleet)) !== old);
    delays.push(performance.now() - rotatedAt);
  }
  load.isOver = true;
  await Promise.all(workers);
  kept.destroy();
  return [
    { metric: 'rotations', unit: '', value: delays.length },
    { metric: 'calls', unit: '', value: load.calls },
    { metric: 'failed_calls', unit: '', value: load.failed },
    { metric: 'served_after_ms', unit: 'ms', value: delays.toSorted((a, b) => a - b)[delays.length >> 1]! },
  ];
}

/** One call; gives the serial number of who answered. */
function callOnce({ port, caller }: EnvoyFleet, agent?: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = agent === undefined ? { agent: false as const, ...caller } : { agent };
    const asked = request({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options }, (response) => {
      const { serialNumber = '' } = (
        response.socket as unknown as { getPeerCertificate(): { serialNumber?: string } }
      ).getPeerCertificate();
      response.resume();
      response.on('error', reject);
      response.on('end', () => (response.statusCode === 200 ? resolve(serialNumber) : reject(new Error(`${response.statusCode}`))));
    });
    asked.setTimeout(5_000, () => asked.destroy(new Error('no answer')));
    asked.on('error', reject);
    asked.end();
  });
}

/** The caller hammers on one open connection, by resumption and by new handshakes, until its certificate is revoked by REST and long after. */
async function measureRevocation(): Promise<Figures> {
  await using fleet = await openEnvoyFleet({ endpoints: 1 });
  await fleet.until('the port serves', async () => (await callOnce(fleet).catch(() => null)) !== null);
  const last = { open: 0, resumed: 0, fresh: 0 };
  const until = { over: false };
  const session = await sessionOf(fleet);
  const open = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...fleet.caller });
  const hammer = async (kind: keyof typeof last, call: () => Promise<unknown>): Promise<void> => {
    while (!until.over) {
      await call().then(
        () => (last[kind] = performance.now()),
        () => pause(2),
      );
    }
  };
  const hammers = [
    hammer('open', () => callOnce(fleet, open)),
    hammer('resumed', () => resumeOnce(fleet, session)),
    hammer('fresh', () => callOnce(fleet)),
  ];
  await pause(500);
  const connection = openConnection(fleet.control.adminUrl);
  const headers = { authorization: `Bearer ${fleet.control.token}`, 'content-type': 'application/json' };
  const askedAt = performance.now();
  jsonOf(await connection.send('POST', `/v1/certificates/${fleet.callerSerialHex}/revocation`, '{"reason":"keyCompromise"}', headers));
  const answeredAt = performance.now();
  await pause(1_500);
  until.over = true;
  await Promise.all(hammers);
  open.destroy();
  await connection.close();
  const after = (at: number): number => Math.max(0, at - askedAt);
  return [
    { metric: 'answered_ms', unit: 'ms', value: answeredAt - askedAt },
    { metric: 'last_call_on_open_ms', unit: 'ms', value: after(last.open) },
    { metric: 'last_call_on_resumed_ms', unit: 'ms', value: after(last.resumed) },
    { metric: 'last_call_on_fresh_ms', unit: 'ms', value: after(last.fresh) },
  ];
}

function sessionOf({ port, caller }: EnvoyFleet): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...caller });
    socket.on('session', (session: Buffer) => {
      resolve(session);
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  });
}

/** A call on a connection that was resumed; rejects where it was not, or was refused. */
function resumeOnce({ port, caller }: EnvoyFleet, session: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const options: ConnectionOptions = { host: '127.0.0.1', port, rejectUnauthorized: false, ...caller, session };
    const socket = connect(options);
    socket.on('secureConnect', () => {
      if (!socket.isSessionReused()) socket.destroy(new Error('not resumed'));
      else socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    });
    socket.on('data', (chunk: Buffer) => {
      if (chunk.toString('latin1').startsWith('HTTP/1.1 200')) resolve();
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
  });
}

function streamCount(): number {
  return Number(process.env['BENCH_ENVOY_STREAMS'] ?? 2_000);
}
