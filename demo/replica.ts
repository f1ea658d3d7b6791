import { BoundSocket } from 'node:net';
import { callsOf, type FleetService, paths, type ServiceName, services } from './fleet.ts';
import { type Plane, type ProxyKind, proxyKindOf } from './plane.ts';
import { takePorts } from './ports.ts';

/** One process of a service, with the sockets that stay its own through all its restarts. */
export type Replica = {
  /** Such as `orders-1`. */
  readonly name: string;
  readonly service: FleetService;
  readonly number: number;
  /** The port that callers know; the tap listens there. Null for a service that nobody calls. */
  readonly publicPort: number | null;
  /** Where the service, and later its sidecar, answers. The socket is held here, so that a change of process closes nothing. */
  readonly inbound: { readonly port: number; readonly socket: BoundSocket } | null;
  /** Local ports of its sidecar for its own calls, by the endpoint called. Held here, like the inbound socket. */
  readonly egress: ReadonlyMap<ServiceName, { readonly port: number; readonly socket: BoundSocket }>;
  readonly kind: ProxyKind;
  /** Where its Envoy answers: it takes over no socket, so that the tap goes to it in the place of the service. Null for others. */
  readonly envoyPort: number | null;
  /** A port of its own behind a bridge, for a service that can only do TCP. */
  readonly behindBridgePort: number | null;
};

/** The fleet with its ports: first the public ones in one row (what `discover` is pointed at), then the others. */
export type Layout = {
  readonly replicas: readonly Replica[];
  readonly firstPublicPort: number;
  readonly lastPublicPort: number;
};

/**
 * Gives every replica its ports. The short form has one of each service, but where the second is of another kind.
 * The public ports are released again, for the tap to take.
 */
export function layOut(plane: Plane = 'native', { isShort = false } = {}): Layout {
  const rows = services.flatMap((service) =>
    Array.from({ length: isShort && plane !== 'mixed' ? 1 : service.replicas }, (_, index) => ({ service, number: index + 1 })),
  );
  const publicCount = rows.filter(({ service }) => service.isEndpoint).length;
  const egressCount = rows.reduce((sum, { service }) => sum + callsOf(service.name).length, 0);
  const kindOf = ({ service, number }: (typeof rows)[number]) => proxyKindOf(plane, service.name, number);
  const envoyCount = rows.filter((row) => row.service.isEndpoint && row.service.proxy !== 'none' && kindOf(row) === 'envoy').length;
  const block = takePorts(2 * publicCount + egressCount + 1 + envoyCount);
  let nextPublic = 0;
  let nextOwn = publicCount;
  const own = (): { port: number; socket: BoundSocket } => {
    const taken = { port: block.first + nextOwn, socket: block.sockets[nextOwn]! };
    nextOwn += 1;
    return taken;
  };
  const replicas = rows.map(({ service, number }): Replica => {
    const bridged = service.proxy === 'bridge' ? own() : null;
    bridged?.socket.close();
    const kind = kindOf({ service, number });
    const fronted = kind === 'envoy' && service.isEndpoint && service.proxy !== 'none' ? own() : null;
    fronted?.socket.close();
    return {
      name: `${service.name}-${number}`,
      service,
      number,
      publicPort: service.isEndpoint ? block.first + nextPublic++ : null,
      inbound: service.isEndpoint ? own() : null,
      egress: new Map(service.proxy === 'sidecar' ? callsOf(service.name).map((path) => [path.endpoint, own()]) : []),
      kind,
      envoyPort: fronted?.port ?? null,
      behindBridgePort: bridged?.port ?? null,
    };
  });
  for (const socket of block.sockets.slice(0, publicCount)) socket.close();
  return { replicas, firstPublicPort: block.first, lastPublicPort: block.first + publicCount - 1 };
}

/** The replicas of one service. */
export function replicasOf(layout: Layout, service: ServiceName): readonly Replica[] {
  return layout.replicas.filter((replica) => replica.service.name === service);
}

/** All ports at which an endpoint is called. */
export function publicPortsOf(layout: Layout, endpoint: ServiceName): readonly number[] {
  return replicasOf(layout, endpoint).flatMap(({ publicPort }) => (publicPort === null ? [] : [publicPort]));
}

/** Closes the sockets that the layout holds. */
export function closeLayout(layout: Layout): void {
  for (const { inbound, egress } of layout.replicas) {
    for (const held of [inbound, ...egress.values()]) {
      held?.socket.close();
    }
  }
}

/** Every path of the fleet as `caller → endpoint`. */
export const pathNames: readonly string[] = paths.map(({ caller, endpoint }) => `${caller} → ${endpoint}`);
