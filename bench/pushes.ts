import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, createServer, request as requestHttp, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setPathModes } from '../src/control/fleet/set-path-modes.ts';
import { applyDeclaration } from '../src/control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../src/control/inventory/parse-declaration.ts';
import { listPaths } from '../src/control/inventory/store.ts';
import { parseJoinToken } from '../src/core/identity/join-token.ts';
import { runProxy } from '../src/dataplane/proxy/run-proxy.ts';
import { open } from '../src/dataplane/sdk/countersign-sdk.ts';
import { systemClock } from '../src/platform/clock/clock.ts';
import { makeSignal } from '../src/platform/clock/signal.ts';
import { readServerConfig } from '../src/platform/config/server-config.ts';
import { openStateDirectory } from '../src/platform/keystore/state-directory.ts';
import { openState } from '../src/server/open-state.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { jsonOf, openConnection } from './json-connection.ts';
import type { Measurement } from './measurement.ts';
import { freePort } from './program.ts';

export type PairKind = 'gateway' | 'sdk';
type Ports = { readonly origin: number; readonly inbound: number; readonly outbound: number };
/** Who calls and who is called, both joined to the control plane. */
type Pair = AsyncDisposable & {
  /** Rejects when the answer is not as it should be. */
  readonly call: () => Promise<void>;
};
type Ask = (method: 'GET' | 'POST', path: string, body?: object) => Promise<Record<string, unknown>>;

/**
 * One data plane calls another under enforced mutual TLS while forty changes are pushed, every other one a renewal of both certificates;
 * then the caller's identity is revoked, and its calls go on until none is answered any more.
 */
export async function measurePushes(kind: PairKind): Promise<readonly Omit<Measurement, 'contender'>[]> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  const ports = { origin: await freePort(), inbound: await freePort(), outbound: await freePort() };
  await using control = disposable(await startControlPlane(folder, { whenMade: (_database, config) => declare(config, kind, ports) }));
  const connection = openConnection(control.adminUrl);
  const headers = { authorization: `Bearer ${control.token}`, 'content-type': 'application/json' };
  const ask: Ask = async (method, path, body) =>
    jsonOf(await connection.send(method, path, body === undefined ? null : JSON.stringify(body), headers));
  try {
    await using pair = await (kind === 'sdk' ? openSdkPair : openProxyPair)(folder, control, ask, ports);
    const load = new Load(pair.call);
    await load.answers(WARM_CALLS);
    for (let push = 0; push < PUSHES; push++) {
      await change(ask, push);
      await load.answers(CALLS_BETWEEN);
    }
    await load.pause();
    const { answered, failed } = load;
    load.resume();
    await load.answers(CALLS_BETWEEN);
    const orderedAt = performance.now();
    await revokeCaller(ask);
    await load.silence(SILENT_MS);
    const lastMs = Math.max(0, load.lastAnsweredAt - orderedAt);
    await load.pause();
    return [
      { metric: 'failed_calls', unit: '', value: failed },
      { metric: 'answered_calls', unit: '', value: answered },
      { metric: 'revoke_to_last_accepted_ms', unit: 'ms', value: lastMs },
    ];
  } finally {
    await connection.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sends a change and waits until both ends have it. */
async function change(ask: Ask, push: number): Promise<void> {
  if (push % 2 === 0) {
    await ask('POST', '/v1/declarations', { text: policy(1_000 + push) });
    await until(async () => (await proxies(ask)).every(({ delivery }) => delivery === 'acknowledged'));
    return;
  }
  const before = new Map((await proxies(ask)).map(({ name, certificate }) => [name, certificate?.serial]));
  await ask('POST', '/v1/renewals', { subject: { kind: 'all' } });
  await until(async () => (await proxies(ask)).every(({ name, certificate }) => certificate?.serial !== before.get(name)));
}

type ShownProxy = {
  readonly name: string;
  readonly spiffeId: string;
  readonly certificate: { readonly serial: string } | null;
  readonly delivery: string;
};

async function proxies(ask: Ask): Promise<readonly ShownProxy[]> {
  return ((await ask('GET', '/v1/proxies')) as { readonly items: readonly ShownProxy[] }).items;
}

/** The identity, so that connections that live on from before a renewal are meant, too. */
async function revokeCaller(ask: Ask): Promise<void> {
  const caller = (await proxies(ask)).find(({ name }) => name === 'web-1')!;
  await ask('POST', '/v1/identities/suspend', { spiffeId: caller.spiffeId, reason: 'bench' });
}

async function openProxyPair(folder: string, control: ControlPlane, ask: Ask, ports: Ports): Promise<Pair> {
  const origin = await startOrigin(ports.origin);
  const run = async (name: string) =>
    runProxy({
      control: { host: '127.0.0.1', port: control.dataPlanePort },
      state: await openStateDirectory(join(folder, name)),
      joinToken: parseJoinToken(await joinToken(ask, name)),
      upstreamTrustFile: null,
      clock: systemClock,
      log: () => {},
      env: {},
    });
  const running = [await run('api-1'), await run('web-1')] as const;
  const agent = new Agent({ keepAlive: true });
  await until(async () => (await proxies(ask)).every(({ delivery }) => delivery === 'acknowledged'));
  return {
    call: () => callInClear(ports.outbound, agent),
    async [Symbol.asyncDispose]() {
      agent.destroy();
      for (const proxy of running) await proxy.stop(0);
      origin.close();
      origin.closeAllConnections();
    },
  };
}

async function openSdkPair(folder: string, control: ControlPlane, ask: Ask, ports: Ports): Promise<Pair> {
  const run = async (name: string) =>
    open({
      control: `127.0.0.1:${control.dataPlanePort}`,
      state: join(folder, name),
      join: { token: await joinToken(ask, name) },
      log: () => {},
    });
  const [receiver, caller] = [await run('api-1'), await run('web-1')];
  const server = receiver.createServer(
    { endpoint: 'api' },
    (request, response) => void request.resume().on('end', () => response.end('ok')),
  );
  server.listen(ports.inbound, '127.0.0.1');
  await once(server, 'listening');
  return {
    async call() {
      const answer = await caller.fetch('https://api/v1/orders', { method: 'POST', body: 'order' });
      if (answer.status !== 200 || (await answer.text()) !== 'ok') throw new Error(`status ${answer.status}`);
    },
    async [Symbol.asyncDispose]() {
      await caller[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
    },
  };
}

async function joinToken(ask: Ask, proxy: string): Promise<string> {
  return String((await ask('POST', '/v1/join-tokens', { proxy }))['token']);
}

function callInClear(port: number, agent: Agent): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = requestHttp({ host: '127.0.0.1', port, method: 'POST', path: '/v1/orders', agent }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('error', reject);
    response.on('end', () => (response.statusCode === 200 && text === 'ok' ? resolve() : reject(new Error(`${response.statusCode}`))));
  });
  request.on('error', reject);
  request.end('order');
  return promise;
}

async function startOrigin(port: number): Promise<Server> {
  const server = createServer(
    { keepAliveTimeout: 75_000 },
    (request, response) => void request.resume().on('end', () => response.end('ok')),
  );
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** So many calls in flight, none tried twice. */
class Load {
  readonly #call: () => Promise<void>;
  #running: Promise<unknown> = Promise.resolve();
  #stopped = true;
  answered = 0;
  failed = 0;
  lastAnsweredAt = 0;

  constructor(call: () => Promise<void>) {
    this.#call = call;
    this.resume();
  }

  resume(): void {
    this.#stopped = false;
    this.#running = Promise.all(Array.from({ length: IN_FLIGHT }, () => this.#run()));
  }

  async pause(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  answers(more: number): Promise<void> {
    const target = this.answered + more;
    return until(async () => this.answered >= target);
  }

  silence(milliseconds: number): Promise<void> {
    return until(async () => performance.now() - this.lastAnsweredAt > milliseconds);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#call();
        this.answered += 1;
        this.lastAnsweredAt = performance.now();
      } catch {
        this.failed += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + MAXIMUM_WAIT_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function declare(configFile: string, kind: PairKind, ports: Ports): Promise<void> {
  const config = readServerConfig(configFile);
  const { trustDomain, environment, region } = config;
  await using state = await openState({ config, clock: systemClock });
  const { database } = state;
  const deps = { database, place: { trustDomain, environment, region }, changed: makeSignal() };
  const actor = { kind: 'person', name: 'bench' } as const;
  await applyDeclaration(deps, parseDeclaration(documents(kind, ports) + '---\n' + policy(999)), actor, systemClock.now());
  const [path] = await listPaths(database.queries, '*');
  const modes = [{ pathId: path!.id, receiverMode: 'enforce', origination: 'mtls' }] as const;
  await database.commit((unit) => setPathModes(unit, modes, systemClock.now()));
}

function policy(drainMs: number): string {
  return `apiVersion: countersign/v1\nkind: Policy\nname: default\ndrainMs: ${drainMs}\ncertificates:\n  renewalSmearMs: 0\n`;
}

function documents(kind: PairKind, { origin, inbound, outbound }: Ports): string {
  const role = kind === 'sdk' ? 'sdk' : 'sidecar';
  const listen = kind === 'sdk' ? '' : `, listen: "127.0.0.1:${inbound}", upstream: "127.0.0.1:${origin}"`;
  const dial = kind === 'sdk' ? '' : `, listen: "127.0.0.1:${outbound}"`;
  return [
    'kind: Service\nname: web\nowner: bench\n',
    'kind: Service\nname: api\nowner: bench\n',
    `kind: Endpoint\nname: api\nservice: api\nprotocol: http\naddresses: ["127.0.0.1:${inbound}"]\nowner: bench\nallowedCallers: [web]\n`,
    `kind: Proxy\nname: api-1\nservice: api\nrole: ${role}\ninbound: [{ endpoint: api${listen} }]\n`,
    `kind: Proxy\nname: web-1\nservice: web\nrole: ${role}\noutbound: [{ endpoint: api${dial} }]\n`,
  ]
    .map((document) => `apiVersion: countersign/v1\n${document}`)
    .join('---\n');
}

function disposable(control: ControlPlane): ControlPlane & AsyncDisposable {
  return { ...control, [Symbol.asyncDispose]: () => control.stop() };
}

const PUSHES = 40;
const IN_FLIGHT = 8;
const WARM_CALLS = 100;
const CALLS_BETWEEN = 20;
/** A call that is accepted this long after the last one would still be found. */
const SILENT_MS = 3_000;
const MAXIMUM_WAIT_MS = 30_000;
