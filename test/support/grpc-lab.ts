import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
} from '@grpc/grpc-js';
import { Origination, Protocol } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { inboundTo, outboundTo, ProxyLab, STOREFRONT } from './proxy-lab.ts';

const octets = (message: Buffer): Buffer => message;
const method = (name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/acme.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: octets,
  requestDeserialize: octets,
  responseSerialize: octets,
  responseDeserialize: octets,
});
export const echo = {
  unary: method('Unary', false, false),
  collect: method('Collect', true, false),
  repeat: method('Repeat', false, true),
  chat: method('Chat', true, true),
} as const;

export type EchoHandlers = {
  readonly unary?: handleUnaryCall<Buffer, Buffer>;
  readonly collect?: handleClientStreamingCall<Buffer, Buffer>;
  readonly repeat?: handleServerStreamingCall<Buffer, Buffer>;
  readonly chat?: handleBidiStreamingCall<Buffer, Buffer>;
};

/** A server of grpc-js on 127.0.0.1, in the clear; each method echoes unless told otherwise. */
export async function grpcService(
  lab: Pick<ProxyLab, 'onClose'>,
  handlers: EchoHandlers = {},
  port = 0,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(echo, {
    unary: (call: { readonly request: Buffer }, callback: (error: null, value: Buffer) => void) => callback(null, call.request),
    collect(call: ClientWritableStream<Buffer> & ClientReadableStream<Buffer>, callback: (error: null, value: Buffer) => void) {
      const parts: Buffer[] = [];
      call.on('data', (part: Buffer) => parts.push(part));
      call.on('end', () => callback(null, Buffer.concat(parts)));
    },
    repeat(call: ClientWritableStream<Buffer> & { readonly request: Buffer }) {
      for (let times = 0; times < 5; times++) call.write(call.request);
      call.end();
    },
    chat(call: ClientDuplexStream<Buffer, Buffer>) {
      call.on('data', (part: Buffer) => void call.write(part));
      call.on('end', () => call.end());
    },
    ...handlers,
  } as never);
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    ),
  );
  lab.onClose(() => server.forceShutdown());
  return { port: bound, server };
}

/** A client of grpc-js that speaks in the clear, as a service does to its own proxy. */
export function grpcClient(lab: Pick<ProxyLab, 'onClose'>, port: number): Client {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  });
  lab.onClose(() => client.close());
  return client;
}

export type GrpcAnswer = {
  readonly value: Buffer | null;
  readonly error: ServiceError | null;
  readonly initial: Metadata;
  readonly trailers: Metadata;
};

/** One unary call; resolves with the answer or the error, and what came beside it. */
export function callUnary(
  client: Client,
  request: Buffer | string,
  { metadata = new Metadata(), deadlineMs = 10_000 }: { readonly metadata?: Metadata; readonly deadlineMs?: number } = {},
): Promise<GrpcAnswer> {
  return new Promise((resolve) => {
    let initial = new Metadata();
    let answer: { readonly value: Buffer | null; readonly error: ServiceError | null } | null = null;
    let trailers: Metadata | null = null;
    const settle = (): void => void (answer !== null && trailers !== null && resolve({ ...answer, initial, trailers }));
    const { path, requestSerialize, responseDeserialize } = echo.unary;
    const options = { deadline: Date.now() + deadlineMs };
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.from(request),
      metadata,
      options,
      (error, value) => {
        answer = { error, value: value ?? null };
        settle();
      },
    );
    call.on('metadata', (received) => (initial = received));
    call.on('status', (status) => {
      trailers = status.metadata;
      settle();
    });
  });
}

export const GRPC = { protocol: Protocol.GRPC } as const;

/** A gRPC service behind its own proxy in enforce, and the proxy of its caller, which speaks mutual TLS to it. */
export async function openGrpcPair(handlers: EchoHandlers = {}): Promise<GrpcPair> {
  const receiver = new ProxyLab();
  const { port: servicePort } = await grpcService(receiver, handlers);
  await receiver.proxy.applyTrustBundle(receiver.bundle());
  const applied = await receiver.apply({ inbound: [inboundTo(servicePort, 'enforce', GRPC)] });
  if (applied.kind === 'refused') throw new Error(applied.reason);
  const caller = new ProxyLab(STOREFRONT, receiver.authority);
  await caller.proxy.applyTrustBundle(caller.bundle());
  const outbound = outboundTo([receiver.portOf(0)], Origination.MTLS, GRPC);
  await caller.apply({ spiffeId: STOREFRONT, outbound: [outbound] });
  return {
    receiver,
    caller,
    servicePort,
    client: grpcClient(caller, caller.portOf(0)),
    async [Symbol.asyncDispose]() {
      await caller[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
    },
  };
}

export type GrpcPair = AsyncDisposable & {
  readonly receiver: ProxyLab;
  readonly caller: ProxyLab;
  readonly servicePort: number;
  readonly client: Client;
};
