import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CallConfig, ListenConfig, ServiceConfig } from './acme/service-config.ts';
import { makeCredential } from './certificate.ts';
import { CALLS_PER_SECOND_AND_PATH, callsOf, callersOf, processorName, robbedService, spiffeIdOf } from './fleet.ts';
import type { ServiceName } from './fleet.ts';
import type { ImpostorConfig } from './impostor/impostor-config.ts';
import type { ProcessGroup, RunningProcess } from './process-group.ts';
import { type Layout, publicPortsOf, type Replica, replicasOf } from './replica.ts';
import type { TapConfig } from './tap/tap-record.ts';

/** Acme Cloud as it runs: every replica's present process, and where the files lie that tell what happened. */
export type AcmeCloud = {
  readonly layout: Layout;
  readonly group: ProcessGroup;
  readonly directory: string;
  /** Of the Unix sockets: their paths may have 103 octets, and a checkout may lie deep. */
  readonly socketDirectory: string;
  readonly observerUrl: string;
  readonly marker: string;
  readonly files: { readonly events: string; readonly tap: string; readonly checkpoints: string; readonly processorCa: string };
  /** The process that serves for a replica now. */
  readonly serving: Map<string, RunningProcess>;
  /** Replicas whose Envoy the tap goes to, and how often it was told so. */
  readonly fronted: Set<string>;
  readonly routings: { count: number; last: Promise<unknown> };
};

/** How one life of a replica is reached and reaches others. */
export type Wiring = 'direct' | 'sidecar';

/** Starts the whole fleet in plaintext, with observer, tap and impostor; returns when every service makes its calls. */
export async function startAcmeCloud(group: ProcessGroup, directory: string, layout: Layout): Promise<AcmeCloud> {
  const files = {
    events: join(directory, 'events.jsonl'),
    tap: join(directory, 'tap.jsonl'),
    checkpoints: join(directory, 'checkpoints.jsonl'),
    processorCa: join(directory, 'processor-ca.pem'),
  };
  const observer = group.start('observer', { args: [program('observer/main.ts'), files.events] });
  const observerUrl = `http://127.0.0.1:${await observer.says('ready')}`;
  const cloud: AcmeCloud = {
    layout,
    group,
    directory,
    socketDirectory: mkdtempSync(join(tmpdir(), 'acme-')),
    observerUrl,
    marker: `marker-${randomBytes(12).toString('hex')}`,
    files,
    serving: new Map(),
    fronted: new Set(),
    routings: { count: 0, last: Promise.resolve() },
  };
  await startTap(cloud);
  await startProcessor(cloud);
  const own = layout.replicas.filter(({ service }) => service.proxy !== 'none');
  for (const replica of own) cloud.serving.set(replica.name, startReplica(cloud, replica, 'direct'));
  startImpostor(cloud);
  await Promise.all(own.map((replica) => cloud.serving.get(replica.name)!.says('ready')));
  return cloud;
}

/** Starts a process for a replica: behind its public address, or behind its sidecar. */
export function startReplica(cloud: AcmeCloud, replica: Replica, wiring: Wiring): RunningProcess {
  const { name, service, inbound } = replica;
  const config: ServiceConfig = {
    name,
    service: service.name,
    listen: listenOf(cloud, replica, wiring),
    observerUrl: cloud.observerUrl,
    record: JSON.stringify({ customer: 'Ada Example', street: `${cloud.marker} Lane 1`, card: '4000 0000 0000 0002' }),
    answersWithRecord: service.name === 'customers',
    calls: callsOf(service.name).map((path): CallConfig => ({
      endpoint: path.endpoint,
      urls: urlsOf(cloud, replica, path.endpoint, wiring),
      perSecond: CALLS_PER_SECOND_AND_PATH / replicasOf(cloud.layout, service.name).length,
      sendsRecord: path.sendsRecord,
    })),
  };
  const configFile = writeConfig(cloud, `${name}-${wiring}`, config);
  return cloud.group.start(name, {
    args: [program('acme/service.ts'), configFile],
    // As an operator gives a service one more CA, until its sidecar knows that CA instead.
    env: service.name === 'payments' && wiring === 'direct' ? { NODE_EXTRA_CA_CERTS: cloud.files.processorCa } : {},
    descriptors: config.listen.kind === 'inherited' ? [inbound!.socket.fd()] : [],
  });
}

/** Puts a new process in a replica's place: it serves before the old one stops, and the old one ends by itself. */
export async function rollReplica(cloud: AcmeCloud, replica: Replica, wiring: Wiring): Promise<void> {
  const fresh = startReplica(cloud, replica, wiring);
  await fresh.says('ready');
  await retireOld(cloud, replica, fresh);
}

/** Ends the process that served for a replica until now. @throws Error if it could not end by itself */
export async function retireOld(cloud: AcmeCloud, replica: Replica, fresh: RunningProcess): Promise<void> {
  const old = cloud.serving.get(replica.name);
  cloud.serving.set(replica.name, fresh);
  const how = await old?.stop();
  if (how !== undefined && how !== 0) throw new Error(`${replica.name} did not end by itself: ${how}`);
}

/**
 * Ends callers first, so that every event reaches the observer's file; the observer is last. When no service calls any more, what is open
 * between them is idle, and is not waited for.
 */
export async function stopAcmeCloud(cloud: AcmeCloud): Promise<void> {
  const stop = async (name: string): Promise<void> => {
    await Promise.all(cloud.group.running.filter((running) => running.name === name).map((running) => running.stop()));
  };
  const serving = [...cloud.serving.values()];
  await Promise.all([stop('impostor'), stop('thief'), ...serving.map(endCalls)]);
  await Promise.all(serving.map((running) => running.stop()));
  for (const { name } of cloud.layout.replicas) await stop(name);
  await stop('tap');
  await stop('observer');
  rmSync(cloud.socketDirectory, { recursive: true, force: true });
}

/** Asks a service to end; returns when it makes no calls any more. */
async function endCalls(running: RunningProcess): Promise<void> {
  const ended = running.stop();
  await Promise.race([running.says('calls ended').catch(() => ended), ended]);
}

/** The Unix socket on which a replica answers its sidecar. */
export function unixSocketOf(cloud: AcmeCloud, replica: Replica): string {
  return join(cloud.socketDirectory, `${replica.name}.sock`);
}

/** The state directory of a replica's sidecar. */
export function stateDirectoryOf(cloud: AcmeCloud, replicaName: string): string {
  return join(cloud.directory, 'state', replicaName);
}

function listenOf(cloud: AcmeCloud, replica: Replica, wiring: Wiring): ListenConfig {
  if (!replica.service.isEndpoint) return { kind: 'none' };
  if (wiring === 'direct') return { kind: 'inherited', fd: 3 };
  if (replica.behindBridgePort !== null) return { kind: 'tcp', host: '127.0.0.1', port: replica.behindBridgePort };
  return { kind: 'unix', path: unixSocketOf(cloud, replica) };
}

function urlsOf(cloud: AcmeCloud, replica: Replica, endpoint: ServiceName, wiring: Wiring): readonly string[] {
  if (wiring === 'sidecar') return [`http://127.0.0.1:${replica.egress.get(endpoint)!.port}`];
  if (endpoint === 'processor') return publicPortsOf(cloud.layout, endpoint).map((port) => `https://${processorName}:${port}`);
  return publicPortsOf(cloud.layout, endpoint).map((port) => `http://127.0.0.1:${port}`);
}

async function startTap(cloud: AcmeCloud): Promise<RunningProcess> {
  const tap = cloud.group.start('tap', { args: [program('tap/main.ts'), writeTapConfig(cloud)] });
  await tap.says('ready');
  return tap;
}

/** From now on the tap goes to the Envoy of this replica, too. One after another: of signals that come together, one is seen. */
export function routeToEnvoy(cloud: AcmeCloud, replica: Replica): Promise<void> {
  const routed = cloud.routings.last.then(() => route(cloud, replica));
  cloud.routings.last = routed.catch(() => undefined);
  return routed;
}

async function route(cloud: AcmeCloud, replica: Replica): Promise<void> {
  cloud.fronted.add(replica.name);
  writeTapConfig(cloud);
  const tap = cloud.group.running.find(({ name }) => name === 'tap');
  if (tap === undefined) throw new Error('Cannot route to an Envoy: the tap does not run');
  cloud.routings.count += 1;
  process.kill(tap.pid, 'SIGHUP');
  await tap.says(`routed ${cloud.routings.count}.`);
}

function writeTapConfig(cloud: AcmeCloud): string {
  const routes = cloud.layout.replicas.flatMap(({ name, service, publicPort, inbound, envoyPort }) => {
    if (publicPort === null || inbound === null) return [];
    const isFronted = envoyPort !== null && cloud.fronted.has(name);
    return [
      {
        endpoint: service.name,
        replica: name,
        listenPort: publicPort,
        targetPort: isFronted ? envoyPort : inbound.port,
        tellsSource: isFronted,
      },
    ];
  });
  const config: TapConfig = { file: cloud.files.tap, marker: cloud.marker, routes };
  return writeConfig(cloud, 'tap', config);
}

async function startProcessor(cloud: AcmeCloud): Promise<void> {
  const authority = makeCredential({ commonName: 'Payment Processor CA', isAuthority: true });
  const leaf = makeCredential(
    { commonName: 'Payment Processor', isAuthority: false, dnsNames: [processorName] },
    { commonName: 'Payment Processor CA', key: authority.key },
  );
  writeFileSync(cloud.files.processorCa, authority.certificate, { mode: 0o600 });
  const keyFile = join(cloud.directory, 'processor-key.pem');
  const certificateFile = join(cloud.directory, 'processor.pem');
  writeFileSync(keyFile, leaf.key, { mode: 0o600 });
  writeFileSync(certificateFile, leaf.certificate, { mode: 0o600 });
  for (const { name, inbound } of cloud.layout.replicas.filter(({ service }) => service.name === 'processor')) {
    const configFile = writeConfig(cloud, name, { name, fd: 3, keyFile, certificateFile, observerUrl: cloud.observerUrl });
    const args = [program('acme/processor.ts'), configFile];
    await cloud.group.start(name, { args, descriptors: [inbound!.socket.fd()] }).says('ready');
  }
}

function startImpostor(cloud: AcmeCloud): void {
  const targets = (['customers', 'payments', 'orders'] as const).map((endpoint) => ({
    endpoint,
    ports: publicPortsOf(cloud.layout, endpoint),
  }));
  const forged = Object.fromEntries(
    targets.map(({ endpoint }) => {
      const spiffeId = spiffeIdOf(callersOf(endpoint)[0]!);
      return [endpoint, { spiffeId, ...makeCredential({ commonName: 'caller', isAuthority: false, uris: [spiffeId] }) }];
    }),
  );
  const config: ImpostorConfig = {
    observerUrl: cloud.observerUrl,
    targets,
    forged,
    stolenStateDirectory: stateDirectoryOf(cloud, `${robbedService}-1`),
  };
  cloud.group.start('impostor', { args: [program('impostor/main.ts'), writeConfig(cloud, 'impostor', config)] });
}

function writeConfig(cloud: AcmeCloud, name: string, config: unknown): string {
  const file = join(cloud.directory, 'config', `${name}.json`);
  // In one rename: who reads it meanwhile finds the old one or the new one.
  writeFileSync(`${file}.new`, JSON.stringify(config), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return file;
}

function program(path: string): string {
  return join(import.meta.dirname, path);
}
