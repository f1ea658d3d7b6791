import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  CallCredentials,
  Channel,
  ChannelCredentials,
  type ChannelOptions,
  type ClientOptions,
  experimental,
  Metadata,
  status,
} from '@grpc/grpc-js';
import type { EndpointWay } from './endpoint-way.ts';
import { guardCallCredentials, type IsInClear } from './guarded-call-credentials.ts';

/** What a client of grpc-js takes: `new OrdersClient(target, credentials, options)`. */
export type GrpcChannel = { readonly target: string; readonly credentials: ChannelCredentials; readonly options: ClientOptions };

/** Makes a client's channel go the way to an endpoint: to its addresses of now, by servers that are verified. */
export function grpcChannelTo(name: string, findWay: () => EndpointWay): GrpcChannel {
  const key = String(++channels);
  ways.set(key, findWay);
  if (channels === 1) experimental.registerResolver(SCHEME, EndpointResolver);
  const credentials = new EndpointCredentials(findWay);
  return {
    target: `${SCHEME}:///${key}/${name}`,
    credentials,
    options: {
      'grpc.default_authority': name,
      'grpc.keepalive_time_ms': 20_000,
      channelFactoryOverride: (target, given, options) => new EndpointChannel(target, given, options, credentials.isInClear),
    },
  };
}

/** Guards the credentials that single calls bring. */
class EndpointChannel extends Channel {
  readonly #isInClear: IsInClear;

  constructor(target: string, credentials: ChannelCredentials, options: ChannelOptions, isInClear: IsInClear) {
    super(target, credentials, options);
    this.#isInClear = isInClear;
  }

  override createCall(...call: Parameters<Channel['createCall']>): ReturnType<Channel['createCall']> {
    const made = super.createCall(...call);
    const setCredentials = made.setCredentials.bind(made);
    made.setCredentials = (credentials) => setCredentials(guardCallCredentials(credentials, this.#isInClear));
    return made;
  }
}

/** Tells grpc-js where an endpoint is; asked again whenever a connection is lost, so that it follows the settings. */
class EndpointResolver implements experimental.Resolver {
  readonly #key: string;
  readonly #listener: experimental.ResolverListener;
  #isDestroyed = false;
  #told = '';

  constructor(target: { readonly path: string }, listener: experimental.ResolverListener) {
    this.#key = target.path.split('/').at(-2)!;
    this.#listener = listener;
  }

  static getDefaultAuthority(target: { readonly path: string }): string {
    return target.path.split('/').at(-1)!;
  }

  updateResolution(): void {
    this.#isDestroyed = false;
    queueMicrotask(() => {
      if (!this.#isDestroyed) this.#resolve();
    });
  }

  destroy(): void {
    this.#isDestroyed = true;
  }

  /** Says the same thing once: grpc-js asks again in the turn of the answer where a connection has failed. */
  #resolve(): void {
    const addresses = this.#addresses();
    const text = JSON.stringify(addresses);
    if (text === this.#told) return;
    this.#told = text;
    const failure = { code: status.UNAVAILABLE, details: 'the endpoint is in the settings no more', metadata: new Metadata() };
    const endpoints = addresses.map((address) => ({ addresses: [address] }));
    this.#listener(addresses.length === 0 ? { ok: false, error: failure } : { ok: true, value: endpoints }, {}, null, '');
  }

  #addresses(): ({ readonly host: string; readonly port: number } | { readonly path: string })[] {
    try {
      const { upstreams } = ways.get(this.#key)!().settings;
      return upstreams.map((address) => (address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }));
    } catch {
      return [];
    }
  }
}

/** grpc-js speaks only on the socket that the connector hands back, so a server that fails has seen a handshake and nothing else. */
class EndpointCredentials extends ChannelCredentials {
  readonly #findWay: () => EndpointWay;
  readonly #inClear = new Set<Socket>();
  /** True while a call could leave in plaintext: a connection of an earlier stage drains for a while. */
  readonly isInClear: IsInClear = () => this.#inClear.size > 0;

  constructor(findWay: () => EndpointWay) {
    super();
    this.#findWay = findWay;
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  _createSecureConnector(_target: unknown, _options: unknown, callCredentials = CallCredentials.createEmpty()) {
    return {
      connect: async (tcp: Socket) => {
        const socket = await this.#findWay().secure(tcp);
        const secure = socket instanceof TLSSocket;
        if (!secure) this.#keepInClear(socket);
        return { socket, secure };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => guardCallCredentials(callCredentials, this.isInClear),
      destroy: () => {},
    };
  }

  #keepInClear(socket: Socket): void {
    this.#inClear.add(socket);
    socket.once('close', () => this.#inClear.delete(socket));
  }
}

const ways = new Map<string, () => EndpointWay>();
let channels = 0;
const SCHEME = 'countersign-endpoint';
