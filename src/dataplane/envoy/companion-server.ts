import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { AccessLogService, type StreamAccessLogsMessage } from '../../core/messages/generated/envoy/service/accesslog/v3/als_pb.ts';
import { SecretDiscoveryService } from '../../core/messages/generated/envoy/service/secret/v3/sds_pb.ts';
import { methodDefinition } from '../../platform/grpc/method-definition.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HeldSecrets } from './held-secrets.ts';
import { serveSecrets } from './serve-secrets.ts';
import { openUnixListener } from './unix-listener.ts';

export type CompanionServerOptions = {
  /** Of the Unix socket; absolute. */
  readonly path: string;
  readonly secrets: HeldSecrets;
  readonly onAccessLogs: (message: StreamAccessLogsMessage) => void;
  /** The last connection has ended. */
  readonly onLeft?: () => void;
  readonly log: Log;
};

export type CompanionServer = { [Symbol.asyncDispose](): Promise<void> };

/**
 * What Envoy connects to beside it: SDS for what holds private keys, ALS for what it saw. gRPC in the clear on a Unix socket that only our
 * own user can open. @throws state-permissions, state-conflict
 */
export async function openCompanionServer({ path, secrets, onAccessLogs, onLeft, log }: CompanionServerOptions): Promise<CompanionServer> {
  const rpc = new Server(GRPC_OPTIONS);
  const streamSecrets = methodDefinition(SecretDiscoveryService.method.streamSecrets);
  const accessLogs = methodDefinition(AccessLogService.method.streamAccessLogs);
  const handlers: UntypedServiceImplementation = {
    streamSecrets: (stream: Parameters<typeof serveSecrets>[0]) => serveSecrets(stream, secrets, log),
    accessLogs: (stream: AccessLogStream, answer: (error: null, value: Uint8Array) => void) => {
      stream.on('data', onAccessLogs);
      stream.on('error', () => {});
      stream.on('end', () => answer(null, new Uint8Array()));
    },
  };
  rpc.addService({ streamSecrets, accessLogs } as unknown as ServiceDefinition, handlers);
  const injector = rpc.createConnectionInjector(ServerCredentials.createInsecure());
  let connections = 0;
  const listener = await openUnixListener({
    path,
    maximumConnections: MAXIMUM_CONNECTIONS,
    onConnection(socket) {
      socket.on('error', (error) => log('debug', 'envoy.connection-failed', { error: error.message }));
      connections += 1;
      socket.once('close', () => {
        connections -= 1;
        if (connections === 0) onLeft?.();
      });
      injector.injectConnection(socket);
    },
  });
  log('info', 'secrets and access logs are served to envoy', { path });
  return {
    async [Symbol.asyncDispose]() {
      injector.destroy();
      rpc.forceShutdown();
      await listener[Symbol.asyncDispose]();
    },
  };
}

type AccessLogStream = {
  on(event: 'data', listener: (message: StreamAccessLogsMessage) => void): void;
  on(event: string, listener: () => void): void;
};

/** Envoy opens one a worker and one for SDS; a machine has fewer cores than this. */
const MAXIMUM_CONNECTIONS = 512;
const GRPC_OPTIONS = {
  // Envoy's first message of each log names all its extensions (64 kB); entries are flushed by 16 kB.
  'grpc.max_receive_message_length': 1024 * 1024,
  'grpc.max_send_message_length': 1024 * 1024,
  'grpc.max_concurrent_streams': 64,
};
