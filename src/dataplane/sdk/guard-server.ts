import type { Server, Socket } from 'node:net';
import { judgeConnection } from '../tls/judge-connection.ts';
import type { Protocol } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { CallWatch } from './call-watch.ts';
import type { Admitted } from './identity-of.ts';
import type { ServedEndpoint } from './served-endpoint.ts';
import type { ServicePorts } from './service-ports.ts';

/** The endpoint that a server serves, and what judges its calls. */
export type Guard = {
  readonly served: ServedEndpoint;
  readonly watch: CallWatch;
  connectionOf(socket: Socket): ReceiverConnection | undefined;
};

export type GuardOptions = {
  readonly endpoint: string;
  readonly protocols: readonly Protocol[];
  /** Told before an admitted connection is handed out. */
  readonly onAdmitted?: (connection: ReceiverConnection) => void;
  /** Told of every other event before anybody hears of it; false, and nobody does. */
  readonly judge?: (event: string, args: readonly unknown[], guard: Guard) => boolean;
};

/**
 * Puts the gate of an endpoint before a server of Node's: its `connection` is an admitted one, whoever listens for it, and events
 * that hand out calls are judged first, so that no listener, however it was added, sees one that was refused.
 * @throws not-found, state-conflict
 */
export function guardServer(ports: ServicePorts, server: Server, options: GuardOptions): Guard {
  const connections = new WeakMap<Socket, ReceiverConnection>();
  const emit = server.emit.bind(server) as (event: string | symbol, ...args: unknown[]) => boolean;
  const served = ports.serve(options.endpoint, options.protocols, (connection) => {
    connections.set(connection.socket, connection);
    options.onAdmitted?.(connection);
    emit('connection', connection.socket);
  });
  const guard: Guard = {
    served,
    watch: new CallWatch(ports.deps, () => served.settings),
    connectionOf: (socket) => connections.get(socket),
  };
  served.attach(server);
  server.emit = ((event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'connection') {
      served.accept(args[0] as Socket);
      return true;
    }
    if (typeof event === 'string' && options.judge?.(event, args, guard) === false) return true;
    return emit(event, ...args);
  }) as Server['emit'];
  return guard;
}

/** How an admitted connection was judged, for protocols that know no calls. */
export function verdictOn({ deps }: ServicePorts, { served }: Guard, connection: ReceiverConnection): Admitted {
  const settings = served.settings!;
  const judged = judgeConnection(deps.clock.now(), connection.peer, settings, deps.live.revoked);
  const { exception } = connection;
  const verdict = judged.kind === 'accept' || exception === null ? judged : ({ ...judged, kind: 'except', exception } as const);
  return { kind: 'admitted', connection, settings, begunAt: performance.now(), verdict };
}
