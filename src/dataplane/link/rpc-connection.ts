import type { KeyObject } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { DescMessage, DescMethodBiDiStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import {
  CallCredentials,
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  connectivityState,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { MAXIMUM_REQUEST_OCTETS, MAXIMUM_RESPONSE_OCTETS, methodDefinition, type Outgoing } from '../../platform/grpc/method-definition.ts';
import { decodeProblem } from '../../platform/grpc/wire-problem.ts';
import { formatHostPort, type HostPort } from '../../platform/network/host-port.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';

export type ClientCertificate = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type ConnectionOptions = {
  readonly control: HostPort;
  /** Null for a join. */
  readonly certificate: ClientCertificate | null;
  /** Judges what the server presented, leaf first. @throws control-plane-unverified */
  readonly judge: (chain: readonly Uint8Array[]) => void;
  /** Ends the attempt, or the connection at any later time. */
  readonly signal?: AbortSignal;
};

/** One TLS connection to a server that proved itself before the first octet of gRPC was written. It never reconnects. */
export type RpcConnection = {
  call<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>, request: MessageShape<I>): Promise<MessageShape<O>>;
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
  ): ClientDuplexStream<Outgoing<I>, MessageShape<O>>;
  /** False from the moment that it is drained, destroyed or broken: it takes no new call. */
  readonly isOpen: boolean;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Lets calls in flight end, within five seconds. */
  drain(): void;
  destroy(): void;
};

/** @throws control-plane-unreachable, control-plane-unverified */
export async function openRpcConnection(options: ConnectionOptions): Promise<RpcConnection> {
  const credentials = new JudgedCredentials(options);
  const client = new Client(targetOf(options.control), credentials, CHANNEL_OPTIONS);
  const abort = (): void => credentials.destroy();
  options.signal?.addEventListener('abort', abort, { once: true });
  void credentials.closed.then(() => options.signal?.removeEventListener('abort', abort));
  try {
    await becomeReady(client, credentials);
    options.signal?.throwIfAborted();
  } catch (error) {
    credentials.destroy();
    client.close();
    throw error;
  }
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    client.close();
  };
  const destroy = (): void => {
    credentials.destroy();
    close();
  };
  void credentials.closed.then(close);
  return {
    get isOpen() {
      return isOpen;
    },
    call: (method, request) => callUnary(client, method, request),
    stream: (method) => {
      const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
      return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize as never);
    },
    closed: credentials.closed,
    drain: () => {
      close();
      setTimeout(destroy, DRAIN_MS).unref();
    },
    destroy,
  };
}

function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageShape<I>,
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest<Outgoing<I>, MessageShape<O>>(
      path,
      requestSerialize,
      responseDeserialize as (octets: Buffer) => MessageShape<O>,
      request,
      new Metadata(),
      { deadline: Date.now() + CALL_TIMEOUT_MS },
      (error: ServiceError | null, answer) => (error ? reject(decodeProblem(error)) : resolve(answer!)),
    );
  });
}

/** grpc-js would try again for ever; the first failure is ours to judge. */
function becomeReady(client: Client, credentials: JudgedCredentials): Promise<void> {
  const channel = client.getChannel();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('no connection in time'), CONNECT_TIMEOUT_MS);
    const fail = (what: string): void => {
      clearTimeout(timer);
      reject(credentials.failure ?? new Problem('control-plane-unreachable', `Cannot connect to control plane: ${what}`));
    };
    const watch = (): void => {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) {
        clearTimeout(timer);
        resolve();
      } else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) {
        fail('connection refused or broken');
      } else {
        channel.watchConnectivityState(state, Date.now() + CONNECT_TIMEOUT_MS, (error) =>
          error ? fail('no connection in time') : watch(),
        );
      }
    };
    watch();
  });
}

/**
 * The place where a grpc-js client gets its socket. grpc-js writes the HTTP/2 preface only on the socket that `connect` returned,
 * so a server that fails the judgement has seen a TLS handshake and nothing else.
 */
class JudgedCredentials extends ChannelCredentials {
  readonly #options: ConnectionOptions;
  #socket: TLSSocket | null = null;
  #used = false;
  failure: Error | null = null;
  readonly #closed = Promise.withResolvers<void>();

  constructor(options: ConnectionOptions) {
    super();
    this.#options = options;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  destroy(): void {
    this.#used = true;
    this.#socket?.destroy();
    this.#closed.resolve();
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  _createSecureConnector() {
    return {
      connect: async (tcp: Socket) => ({ socket: await this.#connect(tcp), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  async #connect(tcp: Socket): Promise<TLSSocket> {
    if (this.#used) throw new Problem('control-plane-unreachable', 'Cannot connect again: the connection was used, expected a new one');
    this.#used = true;
    try {
      return await this.#handshake(tcp);
    } catch (error) {
      this.failure =
        error instanceof Problem
          ? error
          : new Problem('control-plane-unreachable', 'Cannot connect to control plane: the TLS handshake broke', { cause: error });
      tcp.destroy();
      this.#closed.resolve();
      throw this.failure;
    }
  }

  #handshake(tcp: Socket): Promise<TLSSocket> {
    const { certificate, judge } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        socket: tcp,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['h2'],
        // Judged below, by rules that OpenSSL's verdict and Node's name check do not have.
        rejectUnauthorized: false,
        ...(certificate === null ? {} : { cert: toPem(certificate.chain), key: certificate.key.export({ type: 'pkcs8', format: 'pem' }) }),
      });
      this.#socket = socket;
      socket.once('error', reject);
      socket.once('close', () => {
        this.#closed.resolve();
        reject(new Error('the connection was closed'));
      });
      socket.once('secureConnect', () => {
        try {
          if (socket.alpnProtocol !== 'h2')
            throw new Problem('control-plane-unverified', 'Cannot trust server: it speaks no HTTP/2, expected ALPN h2');
          judge(readPeerChain(socket));
          socket.off('error', reject);
          resolve(socket);
        } catch (error) {
          socket.destroy();
          reject(error);
        }
      });
    });
  }
}

function toPem(chain: readonly Uint8Array[]): string {
  return chain.map((der) => encodePem('CERTIFICATE', der)).join('');
}

function targetOf(control: HostPort): string {
  return `${control.host.includes(':') ? 'ipv6' : 'ipv4'}:${formatHostPort(control)}`;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Issuance waits for a durable commit, at worst on a busy disk. */
const CALL_TIMEOUT_MS = 20_000;
const DRAIN_MS = 5_000;

const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MAXIMUM_RESPONSE_OCTETS,
  'grpc.max_send_message_length': MAXIMUM_REQUEST_OCTETS,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.enable_channelz': 0,
  'grpc.default_authority': 'control-plane.countersign',
} as const;
