import type { Http2Server, ServerHttp2Stream } from 'node:http2';
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
import { Http2CallRequest } from '../tls/http2-call-request.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { Denied } from './call-watch.ts';
import { type Guard, guardServer } from './guard-server.ts';
import { cutStream } from './http2-server.ts';
import type { Admitted } from './identity-of.ts';
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
      const key = keyOf(connection.socket);
      if (key === null) {
        // Of a Unix socket; or it went already.
        ports.deps.log('warn', 'connection has no address', { endpoint, expected: 'TCP, as grpc-js tells connections by their addresses' });
        connection.socket.destroy();
        return;
      }
      if (connection.isHeld && !isGuarded) {
        connection.socket.destroy();
        return;
      }
      connections.set(key, connection);
      connection.socket.once('close', () => connections.delete(key));
      injector.injectConnection(connection.socket);
    },
  });
  const judge = makeJudge(guard, (key) => connections.get(key));
  const server = new Server({ ...options, interceptors: [judge, ...interceptors] });
  // The connections that it is given are decrypted and judged already.
  const injector: ConnectionInjector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const isGuarded = guardStreams(server, guard, (key) => connections.get(key));
  listener.once('close', () => injector.destroy());
  return { server, listener };
}

/** The first interceptor: what it refuses reaches no other and no handler. */
function makeJudge({ watch }: Guard, connectionOf: (key: string) => ReceiverConnection | undefined): ServerInterceptor {
  return ({ path }, call) => {
    const key = keyOf(call.getConnectionInfo());
    const connection = key === null ? undefined : connectionOf(key);
    let admitted: Admitted | null = null;
    const settle = (end: (admitted: Admitted) => void): void => {
      if (admitted !== null) end(admitted);
      admitted = null;
    };
    const responder = new ResponderBuilder().withStart((next) => {
      next({
        onReceiveMetadata(metadata, nextListener) {
          const request = {
            method: 'POST',
            target: () => path,
            authority: () => call.getHost(),
            bodyLength: () => 0,
            fields: () => fieldsOf(metadata),
          };
          // The handler's call carries this very metadata.
          const begun = connection === undefined ? null : watch.begin(connection, metadata, request);
          if (begun?.kind !== 'admitted') {
            call.sendStatus({ ...refusalFor(begun?.status ?? 403), metadata: new Metadata() });
            return;
          }
          admitted = begun;
          nextListener(metadata);
        },
        onReceiveMessage: (message, nextListener) => nextListener(message),
        onReceiveHalfClose: (nextListener) => nextListener(),
        onCancel: () => settle((left) => watch.left(left)),
      });
    });
    responder.withSendStatus((sent, next) => {
      settle((answered) => watch.end(answered, null));
      next(sent);
    });
    return new ServerInterceptingCall(call, responder.build());
  };
}

/**
 * Calls that are none of gRPC are answered by grpc-js itself, and whoever was let in by name only is answered nothing else. False where its
 * server of HTTP/2, which it names to nobody, cannot be found: then nobody is let in by name.
 */
function guardStreams(server: Server, { watch }: Guard, connectionOf: (key: string) => ReceiverConnection | undefined): boolean {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  const [inner, ...others] = http2Servers instanceof Map ? http2Servers.keys() : [];
  if (inner === undefined || others.length > 0) return false;
  const emit = inner.emit.bind(inner) as (event: string | symbol, ...args: unknown[]) => boolean;
  inner.emit = ((event: string | symbol, ...args: unknown[]): boolean => {
    if (event !== 'stream') return emit(event, ...args);
    const [stream, , , raw] = args as [ServerHttp2Stream, object, number, readonly string[]];
    const key = stream.session === undefined ? null : keyOf(stream.session.socket);
    const connection = key === null ? undefined : connectionOf(key);
    if (connection !== undefined && !watch.covers(connection, new Http2CallRequest(raw))) {
      cutStream(stream);
      return true;
    }
    return emit(event, ...args);
  }) as Http2Server['emit'];
  return true;
}

function refusalFor(denied: Denied['status']): { readonly code: status; readonly details: string } {
  if (denied === 401) return { code: status.UNAUTHENTICATED, details: 'no token that is good here' };
  if (denied === 429) return { code: status.RESOURCE_EXHAUSTED, details: 'too many calls' };
  return { code: status.PERMISSION_DENIED, details: 'not allowed' };
}

function fieldsOf(metadata: Metadata): readonly string[] {
  return Object.entries(metadata.toHttp2Headers()).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, String(value)]));
}

/**
 * Unique among the open connections: a remote address and port alone are not, where the listener has several addresses, and calls on one
 * connection would pass for those of whoever has the other.
 */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Addresses): string | null {
  return remoteAddress === undefined || localAddress === undefined ? null : `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

type Addresses = {
  readonly [name in 'remoteAddress' | 'localAddress']?: string | undefined;
} & { readonly [name in 'remotePort' | 'localPort']?: number | undefined };
