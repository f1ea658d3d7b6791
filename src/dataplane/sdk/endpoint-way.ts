import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { beforeServerEnds, callerConnected, callerFailed, watchNamedServer, watchReplicas } from '../tls/caller-connection.ts';
import { type Dialed, type Dialer, dialPlain, dialWithFailover } from '../tls/dial.ts';
import { heldFor } from '../tls/live-state.ts';
import { makeSecurer, type Securer, trustInServer } from '../tls/originate.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { OutboundSettings } from '../tls/proxy-settings.ts';
import type { Trust } from '../tls/trust.ts';
import { HealthChecks } from '../tls/health-checks.ts';
import { Replicas } from '../tls/replicas.ts';
import { RepeatableCall } from './repeatable-call.ts';
import { DialQueue } from './dial-queue.ts';

/** What decides how a new connection is made; put in force as a whole. */
export type Route = {
  readonly settings: OutboundSettings;
  readonly secure: Securer;
  /** Connections of another key may not carry calls on: another endpoint, policy, way to speak, or trust. */
  readonly key: string;
};

/** @throws the error of OpenSSL for a group or suite that it does not know */
export function makeRoute(deps: PortDeps, settings: OutboundSettings, serverTrust: Trust): Route {
  const { live, kept, clock } = deps;
  const { origination, tls: policy, protocol } = settings;
  const trust = trustInServer(serverTrust, origination);
  const { credential } = live.contexts;
  const secure = makeSecurer({
    origination,
    policy,
    protocol,
    credential,
    held: heldFor(live, origination),
    trust,
    kept,
    revoked: () => live.revoked,
    clock,
    watch: watchNamedServer(deps, settings),
  });
  return { settings, secure, key: `${settings.digest} ${settings.replicas.key} ${trust.digest}` };
}

/**
 * How the service reaches one endpoint: pooled connections to each of its addresses, called in turn. A renewed certificate is shown by
 * new connections; those that are open carry calls on, so a rotation makes no burst of handshakes.
 */
export class EndpointWay {
  readonly #deps: PortDeps;
  readonly #dials = new DialQueue();
  #route: Route;
  #pools: (Pool | null)[];
  /** Connections of the service's own, and of gRPC. */
  #streams = new Set<Socket>();
  /** Which replica a pool's last connection went to, where its own was away. */
  readonly #whereTo = new WeakMap<Pool, number>();
  readonly #retiring = new Set<Promise<void>>();
  #replicas: Replicas;
  #checks: HealthChecks | null;

  constructor(deps: PortDeps, route: Route) {
    this.#deps = deps;
    this.#route = route;
    this.#pools = route.settings.upstreams.map(() => null);
    this.#replicas = this.#watchReplicas();
    this.#checks = this.#startChecks();
  }

  get settings(): OutboundSettings {
    return this.#route.settings;
  }

  update(route: Route): void {
    const old = this.#route;
    this.#route = route;
    if (old.key === route.key) return;
    this.#stopWatching();
    const known = this.#replicas;
    this.#replicas = this.#watchReplicas();
    this.#replicas.learnFrom(known);
    this.#checks = this.#startChecks();
    const pools = this.#pools;
    this.#pools = route.settings.upstreams.map(() => null);
    for (const pool of pools) this.#retire(pool, route.settings.drainMs);
    this.#cutStreams(route.settings.drainMs);
  }

  /** Sends one HTTP/1.1 call. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    let hasRoom = true;
    this.#replicas.beginCall();
    const send = (through: Dispatcher.DispatchHandler): number => {
      const index = this.#replicas.next();
      const pool = (this.#pools[index] ??= this.#makePool(index));
      hasRoom = pool.dispatch(options, through);
      return this.#whereTo.get(pool) ?? index;
    };
    if (!this.#replicas.listens && this.settings.replicas.retries === null) send(handler);
    else {
      const note = (index: number, isGood: boolean): void => this.#replicas.note(index, isGood);
      new RepeatableCall({ send, note, mayRepeat: () => this.#replicas.mayRepeat('unanswered') }, options, handler).send();
    }
    return hasRoom;
  }

  /** A verified connection of its own; `prepare` speaks on it before TLS does. @throws UpstreamFailure */
  async connect(prepare: Dialer = dialPlain): Promise<Socket> {
    const { socket } = await this.#dial(this.#replicas.next(), prepare);
    const takeBack = beforeServerEnds(this.#deps, socket, (leftMs) =>
      setTimeout(() => socket.destroy(), leftMs * (0.5 + Math.random() / 2)).unref(),
    );
    socket.once('close', takeBack);
    this.#keep(socket);
    return socket;
  }

  /** Verifies the server of a connection that somebody else made. @throws UpstreamFailure */
  async secure(raw: Socket): Promise<Socket> {
    const { settings, secure } = this.#route;
    const address = { kind: 'internet', host: raw.remoteAddress ?? '', port: raw.remotePort ?? 0 } as const;
    try {
      const socket = await secure(raw, address, NEVER);
      callerConnected(this.#deps, settings, socket);
      this.#keep(socket);
      return socket;
    } catch (error) {
      callerFailed(this.#deps, settings, error as Error);
      throw error;
    }
  }

  async retire(withinMs: number): Promise<void> {
    this.#stopWatching();
    for (const pool of this.#pools) this.#retire(pool, withinMs);
    this.#pools = this.#route.settings.upstreams.map(() => null);
    const closed = [...this.#streams].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    this.#cutStreams(withinMs);
    await Promise.all([...this.#retiring, ...closed]);
  }

  #keep(socket: Socket): void {
    const streams = this.#streams;
    streams.add(socket);
    socket.once('close', () => streams.delete(socket));
  }

  /** Nobody can be asked to end a stream; it has this time. */
  #cutStreams(withinMs: number): void {
    const streams = this.#streams;
    this.#streams = new Set();
    if (streams.size > 0) setTimeout(() => streams.forEach((socket) => socket.destroy()), withinMs).unref();
  }

  #watchReplicas(): Replicas {
    const { upstreams, replicas } = this.settings;
    return new Replicas(upstreams, replicas, watchReplicas(this.#deps, this.settings));
  }

  #startChecks(): HealthChecks | null {
    const { upstreams, replicas, origination, endpointName } = this.settings;
    if (replicas.healthCheck === null) return null;
    const known = this.#replicas;
    return new HealthChecks({
      addresses: upstreams,
      settings: replicas.healthCheck,
      dial: async (address, signal) => this.#route.secure(await dialPlain(address, signal), address, signal),
      host: origination.kind === 'tls' ? origination.serverName : endpointName,
      onChecked: (index, isWell) => known.noteCheck(index, isWell),
    });
  }

  #stopWatching(): void {
    this.#checks?.stop();
    this.#replicas.stop();
  }

  async #dial(first: number, prepare: Dialer): Promise<Dialed> {
    const { settings, secure } = this.#route;
    const replicas = this.#replicas;
    const dial: Dialer = async (address, signal) => secure(await prepare(address, signal), address, signal);
    try {
      const dialed = await dialWithFailover({
        addresses: settings.upstreams,
        order: replicas.orderFrom(first),
        onTried: (index, isGood) => void ((!isGood || settings.protocol === 'tcp') && replicas.note(index, isGood)),
        dial,
        patienceMs: PATIENCE_MS,
        signal: NEVER,
      });
      callerConnected(this.#deps, settings, dialed.socket);
      return dialed;
    } catch (error) {
      callerFailed(this.#deps, settings, error as Error);
      throw error;
    }
  }

  #makePool(index: number): Pool {
    const { origination, endpointName } = this.settings;
    const host = origination.kind === 'tls' ? origination.serverName : endpointName;
    const pool: Pool = new Pool(`http://${host}`, {
      ...POOL,
      connect: (_options, callback) => {
        this.#dials
          .run(() => this.#dial(index, dialPlain))
          .then(
            ({ socket, index: whereTo }) => {
              this.#whereTo.set(pool, whereTo);
              const takeBack = beforeServerEnds(this.#deps, socket, () => this.#replace(index, pool));
              socket.once('close', takeBack);
              callback(null, socket);
            },
            (error: Error) => callback(error, null),
          );
      },
    });
    return pool;
  }

  /** Calls move to new connections before the certificate that these were proved by has ended. */
  #replace(index: number, pool: Pool): void {
    if (this.#pools[index] !== pool) return;
    this.#pools[index] = null;
    this.#retire(pool, LONGEST_CALL_MS);
  }

  #retire(pool: Pool | null, withinMs: number): void {
    if (pool === null) return;
    const timer = setTimeout(() => void pool.destroy().catch(ignore), withinMs);
    const closed = pool
      .close()
      .catch(ignore)
      .finally(() => {
        clearTimeout(timer);
        this.#retiring.delete(closed);
      });
    this.#retiring.add(closed);
  }
}

function ignore(): void {}

/** An idle connection is closed by this side well before the other side would (RFC 9112 section 9.3.1 gives no other remedy). */
const POOL = {
  connections: 256,
  pipelining: 1,
  keepAliveTimeout: 4_000,
  keepAliveMaxTimeout: 4_000,
  keepAliveTimeoutThreshold: 1_000,
  maxHeaderSize: 65_536,
  headersTimeout: 300_000,
  bodyTimeout: 300_000,
  allowH2: false,
} as const;
/** The other replicas were tried by then, and all of them are away. */
const PATIENCE_MS = 1_500;
/** What is under way on connections that are replaced without need may take its time. */
const LONGEST_CALL_MS = 600_000;
const NEVER = new AbortController().signal;
