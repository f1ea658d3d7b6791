import { createServer, type Server, type ServerOpts, type Socket } from 'node:net';
import { guardServer, verdictOn } from './guard-server.ts';
import { rememberCall } from './identity-of.ts';
import type { ServicePorts } from './service-ports.ts';

export type TcpServerOptions = ServerOpts & {
  /** Name of the endpoint that is served, as it was declared. */
  readonly endpoint: string;
};

/** A server of a protocol of the service's own: each connection it hands out is admitted and decrypted. @throws not-found, state-conflict */
export function createTcpServer(
  ports: ServicePorts,
  { endpoint, ...options }: TcpServerOptions,
  onConnection?: (socket: Socket) => void,
): Server {
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, ...options });
  const guard = guardServer(ports, server, {
    endpoint,
    protocols: ['tcp'],
    onAdmitted: (connection) => rememberCall(connection.socket, verdictOn(ports, guard, connection)),
  });
  if (onConnection !== undefined) server.on('connection', onConnection);
  return server;
}
