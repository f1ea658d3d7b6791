import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { Beginnings } from '../tls/beginnings.ts';
import { dialPlain } from '../tls/dial.ts';
import type { Outcome } from '../tls/counters.ts';
import type { PassthroughListener, PassthroughRoute } from '../tls/passthrough-settings.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import { type Arrival, fingerprintOf, sniffConnection } from '../tls/sniff-connection.ts';
import { acceptProxied } from './accept-proxied.ts';
import { preambleOf } from './proxy-preamble.ts';
import type { ListeningPort } from './port.ts';
import { forwardTcp } from './tcp-forward.ts';
import { Upstream } from './upstream.ts';

type Newcomer = { readonly socket: Socket; readonly ends: ProxiedEnds | null };

type Carried = { readonly socket: Socket; readonly endpointId: string };

/** What a connection asked for by its first octets. */
type Choice =
  | { readonly kind: 'route'; readonly route: PassthroughRoute; readonly serverName: string | null }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string };

/**
 * A port whose TLS ends elsewhere: the ClientHello says to which endpoint the connection goes, and every octet goes there as it came.
 * Nothing is proved to this proxy, so it says of a connection only that it was carried.
 */
export class PassthroughPort implements ListeningPort {
  readonly #deps: PortDeps;
  readonly #sockets = new Set<Socket>();
  readonly #beginnings = new Beginnings();
  readonly #carried = new Set<Carried>();
  readonly #counts = new Map<string, number>();
  #settings: PassthroughListener;
  #upstreams: ReadonlyMap<PassthroughRoute, Upstream>;

  constructor(deps: PortDeps, settings: PassthroughListener) {
    this.#deps = deps;
    this.#settings = settings;
    this.#upstreams = upstreamsOf(settings);
  }

  get settings(): PassthroughListener {
    return this.#settings;
  }

  /** New connections go by the new names. Those of endpoints that are gone, or went elsewhere, end within the drain time. */
  update(settings: PassthroughListener): void {
    const stays = new Set(settings.routes.map(placeOf));
    const gone = new Set(this.#settings.routes.filter((route) => !stays.has(placeOf(route))).map(({ endpointId }) => endpointId));
    const ending = [...this.#carried].filter(({ endpointId }) => gone.has(endpointId));
    setTimeout(() => ending.forEach(({ socket }) => socket.destroy()), settings.drainMs).unref();
    this.#settings = settings;
    this.#upstreams = upstreamsOf(settings);
  }

  accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#beginnings.leave(socket);
    });
    const timeoutMs = this.#deps.limits.firstOctetsMs;
    acceptProxied(socket, this.#settings.proxyProtocol, {
      timeoutMs,
      onOrigin: (origin) => {
        if (origin.kind === 'gone') socket.destroy();
        else if (origin.kind === 'refused')
          this.#refuse({ socket, ends: null }, origin.first, { reason: 'proxy-header', detail: origin.detail });
        else this.#sniff({ socket, ends: origin.ends }, timeoutMs);
      },
    });
  }

  /** Nobody can be told through encryption that it ends, so open connections have this time. */
  async retire(withinMs: number): Promise<void> {
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    const timer = setTimeout(() => this.#sockets.forEach((socket) => socket.destroy()), withinMs);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #sniff(newcomer: Newcomer, timeoutMs: number): void {
    const { socket, ends } = newcomer;
    const { handshakesPerAddress: most } = this.#settings;
    if (this.#beginnings.take(socket, ends?.source.host ?? socket.remoteAddress ?? null, most)) {
      sniffConnection(socket, { silentAfterMs: null, timeoutMs }, (arrival) => this.#arrived(newcomer, arrival));
    } else this.#refuse(newcomer, NO_OCTETS, { reason: 'limit-exceeded', detail: `${most} of its address have not said where they go` });
  }

  #arrived(newcomer: Newcomer, arrival: Arrival): void {
    const { socket } = newcomer;
    this.#beginnings.leave(socket);
    if (arrival.kind === 'gone' || arrival.kind === 'silent') {
      socket.destroy();
      return;
    }
    const choice = this.#choose(arrival);
    if (choice.kind === 'refused') {
      this.#refuse(newcomer, arrival.first, choice);
      return;
    }
    this.#carry(newcomer, choice);
  }

  #choose(arrival: Exclude<Arrival, { readonly kind: 'gone' | 'silent' }>): Choice {
    if (arrival.kind === 'plaintext') return { kind: 'refused', reason: 'plaintext', detail: '' };
    if (arrival.kind === 'broken') return { kind: 'refused', reason: arrival.reason, detail: '' };
    const { sni, hasEncryptedHello } = arrival.hello;
    const route = this.#settings.find(sni) ?? this.#settings.unknown;
    const detail = JSON.stringify({ sni, hasEncryptedHello });
    if (route === null) return { kind: 'refused', reason: 'unknown-server-name', detail };
    const { endpointId, maximumConnections } = route;
    const isFull = (this.#counts.get(endpointId) ?? 0) + this.#deps.elsewhere.openAt(endpointId) >= maximumConnections;
    return isFull ? { kind: 'refused', reason: 'limit-exceeded', detail } : { kind: 'route', route, serverName: sni };
  }

  #carry({ socket, ends }: Newcomer, { route, serverName }: Extract<Choice, { readonly kind: 'route' }>): void {
    const { table, live } = this.#deps;
    const { endpointId, idleMs } = route;
    const carried = { socket, endpointId };
    const open = { side: 'receiver', endpointId, caller: '', channel: 'passthrough', identity: null, rejudge: doNothing } as const;
    this.#carried.add(carried);
    this.#counts.set(endpointId, (this.#counts.get(endpointId) ?? 0) + 1);
    table.add(open);
    this.#count(endpointId, 'accepted', null);
    socket.once('close', () => {
      this.#carried.delete(carried);
      this.#counts.set(endpointId, this.#counts.get(endpointId)! - 1);
      table.remove(open);
    });
    // Reading from either side moves octets through this socket, so it is idle only when both are.
    socket.setTimeout(idleMs, () => socket.destroy());
    void forwardTcp(socket, {
      upstream: this.#upstreams.get(route)!,
      preamble: preambleOf(this.#settings.proxyProtocol, { socket, ends, tls: { alpn: null, serverName, session: null } }),
      onFailure: (reason) => {
        this.#count(endpointId, 'failed', reason);
        this.#deps.log('warn', 'upstream failed', { endpoint: route.endpointName, reason, generation: live.generation.toString() });
      },
    });
  }

  /** What has no known name belongs to no endpoint; it is counted at the taker of such, else at the first. The peer sees a close. */
  #refuse(
    { socket, ends }: Newcomer,
    first: Buffer,
    { reason, detail }: { readonly reason: RefusalReason; readonly detail: string },
  ): void {
    const remote = `${ends?.source.host ?? socket.remoteAddress ?? 'unix'}:${ends?.source.port ?? socket.remotePort ?? 0}`;
    socket.destroy();
    const { endpointId, endpointName } = this.#settings.unknown ?? this.#settings.routes[0]!;
    this.#count(endpointId, 'refused', reason);
    const firstOctetsSha256 = fingerprintOf(first).toString('hex');
    this.#deps.log('warn', 'connection refused', { endpoint: endpointName, reason, remote, firstOctetsSha256, detail });
  }

  #count(endpointId: string, outcome: Outcome, reason: RefusalReason | null): void {
    const { counters, live } = this.#deps;
    const { generation } = live;
    counters.count({ side: 'receiver', endpointId, caller: '', generation, channel: 'passthrough', unit: 'connection', outcome, reason });
  }
}

function upstreamsOf({ routes }: PassthroughListener): ReadonlyMap<PassthroughRoute, Upstream> {
  return new Map(routes.map((route) => [route, new Upstream({ addresses: [route.upstream], dial: dialPlain, patienceMs: PATIENCE_MS })]));
}

function placeOf({ endpointId, upstream }: PassthroughRoute): string {
  return JSON.stringify([endpointId, upstream]);
}

function doNothing(): void {}

const NO_OCTETS = Buffer.alloc(0);
/** The other end may be a proxy that restarts. */
const PATIENCE_MS = 3_000;
