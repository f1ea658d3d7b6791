import type { KeyObject } from 'node:crypto';
import { createServer, type Server as TlsServer, type TLSSocket } from 'node:tls';
import { constants } from 'node:crypto';
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { encodePem } from '../../core/x509/pem.ts';
import { holdSockets } from '../../platform/network/hold-sockets.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { MAXIMUM_REQUEST_OCTETS, MAXIMUM_RESPONSE_OCTETS, methodDefinition } from '../../platform/grpc/method-definition.ts';
import type { Log } from '../../platform/log/logger.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import { ConnectionTable } from './connection-table.ts';
import type { Identity, Peer, ViolationReason } from './peer.ts';
import type { RpcMethod } from './rpc-method.ts';
import { serveMethod } from './serve-method.ts';

/** The control plane's own certificate: leaf first, the root last, so that a joining data plane can find the root that its token pins. */
export type ListenerCredentials = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type ListenerOptions = {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly credentials: ListenerCredentials;
  /** Judges what a peer presented, leaf first; the list is empty if it presented nothing. */
  readonly authenticate: (chain: readonly Uint8Array[]) => Promise<Peer>;
  /** Whether a node that was admitted before may stay; asked on each call and, by `recheck`, for all open connections. */
  readonly dismissal: (holder: Identity) => ViolationReason | null;
  readonly methods: readonly RpcMethod[];
  readonly clock: Clock;
  readonly log: Log;
  /** Connections at a time, 10,000 if not given. */
  readonly maximumConnections?: number;
  /** How long a TLS handshake may take, 10 s if not given. */
  readonly handshakeTimeoutMs?: number;
};

export type DataPlaneListener = {
  readonly port: number;
  /** New connections get this certificate; open ones keep theirs. */
  setCredentials(credentials: ListenerCredentials): void;
  /** Closes the streams and connections of every node that may not stay. Call it whenever the revoked set changed. */
  recheck(): void;
  /** Refusals since the start, by reason. */
  refusals(): ReadonlyMap<string, number>;
  readonly connections: number;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * The port that data planes connect to: TLS 1.3 only, a client certificate asked for and judged by ourselves, no resumption
 * (a resumed session would skip the judgement), gRPC by grpc-js on the sockets that passed.
 */
export async function openDataPlaneListener(options: ListenerOptions): Promise<DataPlaneListener> {
  const table = new ConnectionTable(options);
  const rpc = new Server(GRPC_OPTIONS);
  rpc.addService(...mountMethods(options.methods, table));
  const injector = rpc.createConnectionInjector(ServerCredentials.createInsecure());
  const server = createServer({
    ...tlsOptions(options.credentials),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    ALPNProtocols: ['h2'],
  });
  const sockets = holdSockets(server);
  server.maxConnections = options.maximumConnections ?? MAXIMUM_CONNECTIONS;
  server.on('tlsClientError', (error, socket) => {
    options.log('debug', 'data-plane.handshake-failed', { error: error.message });
    // Node leaves a socket open whose handshake timed out.
    socket.destroy();
  });
  server.on('secureConnection', (socket) => {
    void admitConnection(socket, options, table).then((admitted) => admitted && injector.injectConnection(socket));
  });
  const sweep = setInterval(() => table.recheck(), SWEEP_INTERVAL_MS).unref();
  const port = await listen(server, options);
  return {
    port,
    setCredentials: (credentials) => server.setSecureContext(tlsOptions(credentials)),
    recheck: () => table.recheck(),
    refusals: () => table.refusals,
    get connections() {
      return table.size;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(sweep);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      injector.destroy();
      sockets.destroyAll();
      rpc.forceShutdown();
      await closed;
    },
  };
}

async function admitConnection(socket: TLSSocket, options: ListenerOptions, table: ConnectionTable): Promise<boolean> {
  socket.on('error', (error) => options.log('debug', 'data-plane.connection-failed', { error: error.message }));
  socket.setNoDelay(true);
  if (socket.alpnProtocol !== 'h2' || socket.isSessionReused()) {
    socket.destroy();
    return false;
  }
  try {
    const peer = await options.authenticate(readPeerChain(socket));
    return table.add(socket, peer);
  } catch (error) {
    options.log('error', 'data-plane.authentication-failed', { error });
    socket.destroy();
    return false;
  }
}

function mountMethods(methods: readonly RpcMethod[], table: ConnectionTable): [ServiceDefinition, UntypedServiceImplementation] {
  const definition: Record<string, ReturnType<typeof methodDefinition>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of methods) {
    const described = methodDefinition(method.method);
    definition[described.path] = described;
    implementation[described.path] = serveMethod(method, table);
  }
  return [definition as unknown as ServiceDefinition, implementation];
}

function tlsOptions({ chain, key }: ListenerCredentials) {
  return {
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    minVersion: 'TLSv1.3' as const,
    maxVersion: 'TLSv1.3' as const,
    // Without tickets TLS 1.3 falls back to stateful ones, and these need a session store, which there is none.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function listen(server: TlsServer, { host, port }: ListenerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/** Four round trips on the worst of links. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** About 38 kB each. */
const MAXIMUM_CONNECTIONS = 10_000;
/** How late an expired certificate may be noticed on an idle connection. */
const SWEEP_INTERVAL_MS = 5_000;

const GRPC_OPTIONS = {
  'grpc.max_receive_message_length': MAXIMUM_REQUEST_OCTETS,
  'grpc.max_send_message_length': MAXIMUM_RESPONSE_OCTETS,
  'grpc.max_concurrent_streams': 32,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_metadata_size': 16 * 1024,
  'grpc.enable_channelz': 0,
} as const;
