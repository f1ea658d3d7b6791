import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { dialPlain } from '../tls/dial.ts';
import { InboundGate } from '../tls/inbound-gate.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundListener } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { serveHttp1 } from './http1-caller.ts';
import type { CallGate } from './call-gate.ts';
import { type Http2Next, serveHttp2Calls } from './http2-calls.ts';
import { InboundCalls, type InboundCallsOptions } from './inbound-calls.ts';
import type { ListeningPort } from './port.ts';
import { forwardTcp } from './tcp-forward.ts';
import { Upstream } from './upstream.ts';

/** A port on which calls for the service arrive: what its gate lets in goes on to the service behind. */
export class ServicePort implements ListeningPort {
  readonly #gate: InboundGate;
  readonly #calls: InboundCallsOptions;
  #settings: InboundListener;
  #upstream: Upstream;

  constructor(deps: PortDeps, settings: InboundListener) {
    this.#gate = new InboundGate(deps, settings, (connection) => this.#serve(connection));
    this.#settings = settings;
    this.#upstream = makeUpstream(settings);
    this.#calls = { deps, settings: () => this.settings, upstream: () => this.#upstream };
  }

  get settings(): InboundListener {
    return this.#settings;
  }

  /** Takes new settings for all calls from now on; open connections are rejudged by whoever calls this. */
  update(settings: InboundListener): void {
    const old = this.#settings;
    this.#settings = settings;
    this.#gate.update(settings);
    if (JSON.stringify(old.upstream) === JSON.stringify(settings.upstream)) return;
    void this.#upstream.retire(settings.drainMs);
    this.#upstream = makeUpstream(settings);
  }

  accept(socket: Socket): void {
    this.#gate.accept(socket);
  }

  async retire(withinMs: number): Promise<void> {
    await this.#gate.retire(withinMs);
    await this.#upstream.retire(withinMs);
  }

  #serve(connection: ReceiverConnection): void {
    const { socket } = connection;
    const { protocol } = this.settings;
    const calls = new InboundCalls(this.#calls, connection);
    if (protocol === 'grpc') serveHttp2Connection(connection, calls, 'h2');
    else if (protocol === 'http' && socket instanceof TLSSocket && socket.alpnProtocol === 'h2')
      serveHttp2Connection(connection, calls, 'http/1.1');
    else if (protocol === 'http') serveHttp1(socket, calls);
    else void forwardTcp(socket, { upstream: this.#upstream, onFailure: (reason) => this.#gate.countFailure(connection, reason) });
  }
}

function serveHttp2Connection(connection: ReceiverConnection, gate: CallGate, next: Http2Next): void {
  const calls = serveHttp2Calls(connection.socket, gate, next);
  connection.announceEndBy(() => calls.drain());
}

function makeUpstream({ upstream }: InboundListener): Upstream {
  return new Upstream({ addresses: [upstream], dial: dialPlain, patienceMs: SERVICE_PATIENCE_MS });
}

/** A service that restarts has one address, and nobody else can stand in for it. */
const SERVICE_PATIENCE_MS = 3_000;
