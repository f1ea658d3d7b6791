import type { Socket } from 'node:net';
import { CallCredentials, ChannelCredentials, type ChannelOptions, experimental, Metadata, status } from '@grpc/grpc-js';
import type { EndpointWay } from './endpoint-way.ts';

/** What a client of grpc-js takes: `new OrdersClient(target, credentials, options)`. */
export type GrpcChannel = { readonly target: string; readonly credentials: ChannelCredentials; readonly options: ChannelOptions };

/** Makes a client's channel go the way to an endpoint: to its addresses of now, by servers that are verified. */
export function grpcChannelTo(name: string, findWay: () => EndpointWay): GrpcChannel {
  const key = String(++channels);
  ways.set(key, findWay);
  if (channels === 1) experimental.registerResolver(SCHEME, EndpointResolver);
  return {
    target: `${SCHEME}:///${key}/${name}`,
    credentials: new EndpointCredentials(findWay),
    options: { 'grpc.default_authority': name, 'grpc.keepalive_time_ms': 20_000 },
  };
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

  _createSecureConnector() {
    return {
      connect: async (tcp: Socket) => ({ socket: await this.#findWay().secure(tcp), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }
}

const ways = new Map<string, () => EndpointWay>();
let channels = 0;
const SCHEME = 'countersign-endpoint';
