import type { DescMessage, DescMethodBiDiStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, connectivityState, Metadata, type ServiceError } from '@grpc/grpc-js';
import { Problem } from '../../core/problems/problem.ts';
import { MAXIMUM_REQUEST_OCTETS, MAXIMUM_RESPONSE_OCTETS, methodDefinition, type Outgoing } from '../../platform/grpc/method-definition.ts';
import { decodeProblem } from '../../platform/grpc/wire-problem.ts';
import { formatHostPort, type HostPort } from '../../platform/network/host-port.ts';
import { type ConnectionOptions, JudgedCredentials } from './judged-credentials.ts';

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
