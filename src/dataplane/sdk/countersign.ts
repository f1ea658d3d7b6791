import type { Server as HttpServer } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2, type Http2Server } from 'node:http2';
import type { Server as TcpServer, Socket } from 'node:net';
import { fetch as undiciFetch, type RequestInfo, type RequestInit, type Response } from 'undici';
import type { LinkStatus } from '../link/link-handlers.ts';
import { type PgOptions, pgOptionsFor, type RedisOptions, redisOptionsFor } from './data-stores.ts';
import { EndpointDispatcher } from './endpoint-dispatcher.ts';
import { type GrpcChannel, grpcChannelTo } from './grpc-channel.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from './grpc-server.ts';
import { createHttp2Server, type Http2ServerOptions } from './http2-server.ts';
import { createHttpServer, type HttpHandler, type HttpServerOptions } from './http-server.ts';
import type { RunningService } from './run-service.ts';
import { createTcpServer, type TcpServerOptions } from './tcp-server.ts';

/** A service's own data plane, in its process: what `open` gives. It ends with `close` or `await using`. */
export class Countersign implements AsyncDisposable {
  readonly #running: RunningService;
  /**
   * An undici dispatcher for URLs whose host is the name of an endpoint, as `http://stock/v1/items`. `https:` demands that the path is
   * not in plaintext at its stage of the rollout; `http:` follows the rollout.
   */
  readonly dispatcher: EndpointDispatcher;
  #closing: Promise<void> | null = null;

  /** Made by `open`. */
  constructor(running: RunningService) {
    this.#running = running;
    const { ports } = running;
    this.dispatcher = new EndpointDispatcher(ports.deps, (name) => ports.wayTo(name));
  }

  /** The service's own SPIFFE ID. */
  get spiffeId(): string {
    return this.#running.link.identity.spiffeId;
  }

  /** Where the link to the control plane stands. All calls go on while it is offline. */
  get status(): LinkStatus {
    return this.#running.link.status;
  }

  /**
   * An HTTP/1.1 server for a declared endpoint, to be listened and closed as any other. Plaintext, TLS and mutual TLS come in at its one port
   * until enforcement; `identityOf(request)` says who calls. @throws Problem not-found, state-conflict
   */
  createServer(options: HttpServerOptions, handler?: HttpHandler): HttpServer {
    return createHttpServer(this.#running.ports, options, handler);
  }

  /** The same for an endpoint of protocol `grpc`: an HTTP/2 server, whose `stream` and `request` are calls that may be served. */
  createHttp2Server(options: Http2ServerOptions): Http2Server {
    return createHttp2Server(this.#running.ports, options);
  }

  /** The same for @grpc/grpc-js: add services to `server`, and listen with `listener`. */
  createGrpcServer(options: GrpcServerOptions): GrpcServer {
    return createGrpcServer(this.#running.ports, options);
  }

  /** The same for an endpoint of protocol `tcp`: a server of a protocol of the service's own. */
  createTcpServer(options: TcpServerOptions, onConnection?: (socket: Socket) => void): TcpServer {
    return createTcpServer(this.#running.ports, options, onConnection);
  }

  /** `fetch` to an endpoint by its name. @throws TypeError whose cause is a Problem or an UpstreamFailure with its reason */
  readonly fetch = (input: RequestInfo, init: RequestInit = {}): Promise<Response> =>
    undiciFetch(input, { ...init, dispatcher: this.dispatcher });

  /** A verified connection to an endpoint, for protocols of the service's own. @throws Problem not-found; UpstreamFailure with its reason */
  async connect(endpoint: string): Promise<Socket> {
    return this.#running.ports.wayTo(endpoint).connect();
  }

  /** An HTTP/2 session to an endpoint of protocol `grpc`. @throws as `connect` */
  async connectHttp2(endpoint: string): Promise<ClientHttp2Session> {
    const socket = await this.connect(endpoint);
    return connectHttp2(`http://${endpoint}`, { createConnection: () => socket, settings: { enablePush: false } });
  }

  /** What a client of @grpc/grpc-js takes to reach an endpoint: `new StockClient(target, credentials, options)`. @throws Problem not-found */
  grpcChannel(endpoint: string): GrpcChannel {
    const { ports } = this.#running;
    ports.wayTo(endpoint);
    return grpcChannelTo(endpoint, () => ports.wayTo(endpoint));
  }

  /** Options for `pg`: every connection goes the way to the endpoint, with our certificate, to a verified server. @throws Problem not-found */
  pgOptions(endpoint: string): PgOptions {
    const { ports } = this.#running;
    ports.wayTo(endpoint);
    return pgOptionsFor(endpoint, () => ports.wayTo(endpoint));
  }

  /** The same for `ioredis`. @throws Problem not-found */
  redisOptions(endpoint: string): RedisOptions {
    const { ports } = this.#running;
    ports.wayTo(endpoint);
    return redisOptionsFor(endpoint, () => ports.wayTo(endpoint));
  }

  /** Asks for a new certificate now; renewals come by themselves. Resolves when it is in force. @throws Problem control-plane-unreachable */
  renew(): Promise<void> {
    return this.#running.link.renew();
  }

  /** Takes no new connections and calls, lets those under way end within this time (8 seconds), and sends the last report. */
  close(withinMs = CLOSE_WITHIN_MS): Promise<void> {
    this.#closing ??= this.#running.stop(withinMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Longer than callers of ours keep an idle connection, so that nearly all of them have closed theirs by then. */
const CLOSE_WITHIN_MS = 8_000;
