import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Address, formatAddress } from '../tls/address.ts';
import { acceptProxied } from './accept-proxied.ts';
import { preambleOf } from './proxy-preamble.ts';
import { dialPlain, plainDialer } from '../tls/dial.ts';
import { InboundGate } from '../tls/inbound-gate.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundListener } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { serveHttp1 } from './http1-caller.ts';
import type { CallGate } from './call-gate.ts';
import { type Http2Next, serveHttp2Calls } from './http2-calls.ts';
import { InboundCalls, type InboundCallsOptions } from './inbound-calls.ts';
import { sharedReads } from './own-socket.ts';
import type { ListeningPort } from './port.ts';
import { forwardTcp } from './tcp-forward.ts';
import { Upstream } from './upstream.ts';

/** Where the calls of a port go on. */
export type Next = {
  readonly upstream: Upstream;
  /** Equal keys, equal next hops. */
  readonly key: string;
  retire(withinMs: number): Promise<void>;
};

/** A port on which calls for the service arrive: what its gate lets in goes on to the next hop. */
export class ServicePort implements ListeningPort {
  readonly #gate: InboundGate;
  readonly #calls: InboundCallsOptions;
  #settings: InboundListener;
  #next: Next;
  readonly #deps: PortDeps;

  constructor(deps: PortDeps, settings: InboundListener, next: Next) {
    this.#gate = new InboundGate(deps, settings, (connection) => this.#serve(connection));
    this.#settings = settings;
    this.#next = next;
    this.#deps = deps;
    this.#calls = { deps, settings: () => this.settings, upstream: () => this.#next.upstream };
  }

  get settings(): InboundListener {
    return this.#settings;
  }

  get next(): Next {
    return this.#next;
  }

  /** Takes new settings for all calls from now on; open connections are rejudged by whoever calls this. */
  update(settings: InboundListener, next: Next): void {
    this.#settings = settings;
    this.#gate.update(settings);
    this.goOnTo(next);
  }

  /** Calls from now on go to another next hop. */
  goOnTo(next: Next): void {
    const old = this.#next;
    if (old === next) return;
    this.#next = next;
    next.upstream.learnFrom(old.upstream);
    void old.retire(this.#settings.drainMs);
  }

  accept(socket: Socket): void {
    if (!this.#gate.hold(socket)) return;
    acceptProxied(socket, this.#settings.proxyProtocol, {
      timeoutMs: this.#deps.limits.firstOctetsMs,
      onOrigin: (origin) => {
        if (origin.kind === 'gone') socket.destroy();
        else if (origin.kind === 'refused') this.#gate.refuseOrigin(socket, origin.first, origin.detail);
        else this.#gate.accept(socket, origin.ends);
      },
    });
  }

  async retire(withinMs: number): Promise<void> {
    await this.#gate.retire(withinMs);
    await this.#next.retire(withinMs);
  }

  #serve(connection: ReceiverConnection): void {
    const { socket } = connection;
    const { protocol } = this.settings;
    const calls = new InboundCalls(this.#calls, connection);
    if (protocol === 'grpc') serveHttp2Connection(connection, calls, 'h2');
    else if (protocol === 'http' && socket instanceof TLSSocket && socket.alpnProtocol === 'h2')
      serveHttp2Connection(connection, calls, 'http/1.1');
    else if (protocol === 'http') serveHttp1(socket, calls);
    else this.#forward(connection);
  }

  #forward(connection: ReceiverConnection): void {
    const { socket, ends, identity } = connection;
    const session =
      socket instanceof TLSSocket
        ? { version: socket.getProtocol() ?? '', cipher: socket.getCipher().name, isClientProved: identity !== null }
        : null;
    const { alpnProtocol = false, servername = false } =
      socket instanceof TLSSocket ? (socket as TLSSocket & { servername?: string | false }) : {};
    const tls = session === null ? null : { alpn: alpnProtocol || null, serverName: servername || null, session };
    void forwardTcp(socket, {
      upstream: this.#next.upstream,
      preamble: preambleOf(this.#settings.proxyProtocol, { socket, ends, tls }),
      onFailure: (reason) => this.#gate.countFailure(connection, reason),
    });
  }
}

function serveHttp2Connection(connection: ReceiverConnection, gate: CallGate, next: Http2Next): void {
  const calls = serveHttp2Calls(connection.socket, gate, next);
  connection.announceEndBy(() => calls.drain());
}

/** The service behind, in the clear on the same machine. */
export function nextService(address: Address): Next {
  const upstream = new Upstream({ addresses: [address], dial: dialPlain, dialForCalls, patienceMs: SERVICE_PATIENCE_MS });
  return { upstream, key: serviceKey(address), retire: (withinMs) => upstream.retire(withinMs) };
}

export function serviceKey(address: Address): string {
  return formatAddress(address);
}

const dialForCalls = plainDialer(sharedReads);
/** A service that restarts has one address, and nobody else can stand in for it. */
const SERVICE_PATIENCE_MS = 3_000;
