import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { Agent, createServer, request, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { create } from '@bufbuild/protobuf';
import { type Inbound, InboundSchema, Mode, Protocol } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { freePort } from '../support/free-port.ts';
import { clientOptions, loopback } from '../support/proxy-lab.ts';
import { type ProxyProcess, startProxyProcess } from '../support/proxy-process.ts';
import { endpointIdOf, named } from '../support/sdk-lab.ts';
import { startTestControlPlane } from '../support/test-control-plane.ts';
import type { AttackOrder } from './attacking-process.ts';
import type { Target } from './attacks.ts';

export type HostileReport = {
  readonly seconds: number;
  /** Calls of a good caller meanwhile. */
  readonly good: number;
  readonly failed: readonly string[];
  readonly slowestMs: number;
  readonly residentMb: { readonly before: number; readonly peak: number; readonly after: number };
  /** Smuggled requests that the service saw. */
  readonly smuggled: number;
  /** Connections that each kind had ended by the other side. */
  readonly cutOff: { readonly [attack: string]: number };
};

/** Runs every attack at once against a gateway in a process of its own, while a good caller goes on calling. */
export async function runHostileClients(seconds: number): Promise<HostileReport> {
  const service = await startService();
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  const port = await freePort();
  await using proxy = await startProxyProcess(control, 'orders', [inboundFor(port, service.port)]);
  const certificate = clientOptions(control.enrol(named('storefront'), 'proxy_01j00000000000000000000000' as never));
  const stop = new AbortController();
  const calling = keepCalling({ port, certificate, signal: stop.signal });
  await calling.first;
  const before = proxy.residentMb();
  const memory = watchMemory(proxy, stop.signal);
  // In a process of their own, so that the good caller waits for the gateway alone.
  const attackers = fork(join(import.meta.dirname, 'attacking-process.ts'), { execArgv: ['--disable-warning=ExperimentalWarning'] });
  attackers.send({ port, certificate } satisfies AttackOrder);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const told = once(attackers, 'message');
  attackers.send('stop');
  const [cutOff] = (await told) as [HostileReport['cutOff']];
  stop.abort();
  const { good, failed, slowestMs } = await calling.ended;
  if (!proxy.isAlive()) failed.push('the proxy ended');
  const after = proxy.residentMb();
  service.close();
  return { seconds, good, failed, slowestMs, residentMb: { before, peak: await memory, after }, smuggled: service.smuggled(), cutOff };
}

function inboundFor(port: number, upstream: number): Inbound {
  return create(InboundSchema, {
    endpointId: endpointIdOf('orders'),
    endpointName: 'orders',
    protocol: Protocol.HTTP,
    listen: loopback(port),
    upstream: loopback(upstream),
    anonymousMode: Mode.ENFORCE,
    strangerMode: Mode.ENFORCE,
    callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: named('storefront'), mode: Mode.ENFORCE }],
    drainMs: 300,
  });
}

async function startService() {
  let smuggled = 0;
  const large = Buffer.alloc(1_000_000, 'x');
  const server: Server = createServer((asked, response) => {
    if (asked.url === '/admin') smuggled += 1;
    asked.resume();
    response.on('error', () => {});
    response.end(asked.url === '/large' ? large : 'good');
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    smuggled: () => smuggled,
    close: () => (server.closeAllConnections(), server.close()),
  };
}

function keepCalling({ port, certificate, signal }: Target) {
  const failed: string[] = [];
  let good = 0;
  let slowestMs = 0;
  const agent = new CertificateAgent(port, certificate);
  const first = Promise.withResolvers<void>();
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      const startedAt = performance.now();
      const outcome = await call(agent);
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      if (outcome === 'good') good += 1;
      else failed.push(outcome);
      first.resolve();
    }
  };
  const ended = Promise.all(Array.from({ length: GOOD_CALLERS }, loop)).then(() => {
    agent.destroy();
    return { good, failed, slowestMs: Math.round(slowestMs) };
  });
  return { first: first.promise, ended };
}

/** Keep-alive connections with the certificate of a caller. */
class CertificateAgent extends Agent {
  readonly #port: number;
  readonly #certificate: ConnectionOptions;

  constructor(port: number, certificate: ConnectionOptions) {
    super({ keepAlive: true, maxSockets: GOOD_CALLERS });
    this.#port = port;
    this.#certificate = certificate;
  }

  override createConnection() {
    return connectTls({ host: '127.0.0.1', port: this.#port, rejectUnauthorized: false, ...this.#certificate });
  }
}

function call(agent: Agent): Promise<string> {
  return new Promise((resolve) => {
    const asked = request({ agent, path: '/good', host: 'orders', timeout: PATIENCE_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve(response.statusCode === 200 && text === 'good' ? 'good' : `status ${response.statusCode}`));
      response.on('error', (error) => resolve(error.message));
    });
    asked.on('error', (error) => resolve(error.message));
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.end();
  });
}

async function watchMemory(proxy: ProxyProcess, signal: AbortSignal): Promise<number> {
  let peak = proxy.residentMb();
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    peak = Math.max(peak, proxy.residentMb());
  }
  return Math.round(peak);
}

const GOOD_CALLERS = 4;
/** Two cores carry attackers, service and gateway. */
const PATIENCE_MS = 20_000;
