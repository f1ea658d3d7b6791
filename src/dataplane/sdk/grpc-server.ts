import { createServer, type Server as NetServer } from 'node:net';
import {
  type ConnectionInjector,
  Metadata,
  ResponderBuilder,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerOptions,
  status,
} from '@grpc/grpc-js';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { type Guard, guardServer } from './guard-server.ts';
import { rememberCall } from './identity-of.ts';
import type { ServicePorts } from './service-ports.ts';

export type GrpcServerOptions = ServerOptions & {
  /** Name of the endpoint that is served, as it was declared. */
  readonly endpoint: string;
};

/** A grpc-js server for an endpoint: services are added to `server`, `listener` is listened and closed. */
export type GrpcServer = { readonly server: Server; readonly listener: NetServer };

/**
 * A gRPC server before which the gate of an endpoint stands; each call is judged before its handler hears of it.
 * @throws not-found, state-conflict
 */
export function createGrpcServer(ports: ServicePorts, { endpoint, interceptors = [], ...options }: GrpcServerOptions): GrpcServer {
  const connections = new Map<string, ReceiverConnection>();
  const listener = createServer({ noDelay: true, keepAlive: true });
  const guard = guardServer(ports, listener, {
    endpoint,
    protocols: ['grpc'],
    onAdmitted(connection) {
      const key = addressOf(connection.socket);
      connections.set(key, connection);
      connection.socket.once('close', () => connections.delete(key));
      injector.injectConnection(connection.socket);
    },
  });
  const judge = makeJudge(guard, (key) => connections.get(key));
  const server = new Server({ ...options, interceptors: [judge, ...interceptors] });
  // The connections that it is given are decrypted and judged already.
  const injector: ConnectionInjector = server.createConnectionInjector(ServerCredentials.createInsecure());
  listener.once('close', () => injector.destroy());
  return { server, listener };
}

/** The first interceptor: what it refuses reaches no other and no handler. */
function makeJudge({ watch }: Guard, connectionOf: (key: string) => ReceiverConnection | undefined): ServerInterceptor {
  return ({ path }, call) => {
    const info = call.getConnectionInfo();
    const connection = connectionOf(keyOf(info.remoteAddress, info.remotePort));
    const request = { method: 'POST', target: () => path, authority: () => call.getHost(), fields: () => [] };
    const begun = connection === undefined ? null : watch.begin(connection, call, request);
    const admitted = begun?.kind === 'admitted' ? begun : null;
    const responder = new ResponderBuilder().withStart((next) => {
      if (admitted === null) {
        call.sendStatus({ code: status.PERMISSION_DENIED, details: 'not allowed', metadata: new Metadata() });
        return;
      }
      next({
        onReceiveMetadata(metadata, nextListener) {
          // The handler's call carries this very object.
          rememberCall(metadata, admitted);
          nextListener(metadata);
        },
        onReceiveMessage: (message, nextListener) => nextListener(message),
        onReceiveHalfClose: (nextListener) => nextListener(),
        onCancel: () => settle(() => watch.left(admitted)),
      });
    });
    let isSettled = false;
    const settle = (end: () => void): void => {
      if (isSettled || admitted === null) return;
      isSettled = true;
      end();
    };
    responder.withSendStatus((sent, next) => {
      settle(() => watch.end(admitted!, null));
      next(sent);
    });
    return new ServerInterceptingCall(call, responder.build());
  };
}

function addressOf({
  remoteAddress,
  remotePort,
}: {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}): string {
  return keyOf(remoteAddress, remotePort);
}

/** Unique among the open connections to one listener. */
function keyOf(address: string | undefined, port: number | undefined): string {
  return `${address} ${port}`;
}
