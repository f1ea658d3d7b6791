import { create } from '@bufbuild/protobuf';
import { type Inbound, Termination } from '../messages/generated/countersign/v1/settings_pb.ts';
import { TrafficDirection } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import { RBAC_Action } from '../messages/generated/envoy/config/rbac/v3/rbac_pb.ts';
import type { FilterChainSchema, FilterSchema } from '../messages/generated/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { RBACSchema } from '../messages/generated/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts';
import { formatAccessLogName } from './access-log-name.ts';
import { connectionLog } from './access-logs.ts';
import { serviceClusterName } from './cluster.ts';
import { connectionLimit } from './connection-limit.ts';
import { envoyAddress, listenerName } from './envoy-address.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { proxyProtocolFilter, tlsInspector } from './listener-filters.ts';
import { extension, type Init, milliseconds } from './pack.ts';
import { tcpForward } from './tcp-forward.ts';

type FilterChain = Init<typeof FilterChainSchema>;
type Filter = Init<typeof FilterSchema>;

/** True of a port whose TLS ends elsewhere. */
export function isCarried({ termination }: Inbound): boolean {
  return termination === Termination.PASSTHROUGH || termination === Termination.MUTUAL;
}

/** The ports of what passes through untouched, told apart by the server name of the ClientHello; what is no TLS has no chain. */
export function passthroughListeners(carried: readonly Inbound[]): readonly EnvoyResource[] {
  const ports = Map.groupBy(carried, ({ listen }) => listenerName(listen));
  return [...ports.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, inbound]) => listenerOf(name, inbound));
}

function listenerOf(name: string, inbound: readonly Inbound[]): readonly EnvoyResource[] {
  const [first] = inbound;
  const address = envoyAddress(first?.listen);
  if (first === undefined || address === null) return [];
  // Of several endpoints: who is asked for is known by the chain.
  const tag = formatAccessLogName({ side: 'inbound', endpointId: name.slice('cs|listen|'.length), channel: 'listener', protocol: 'tcp' });
  const message = create(ListenerSchema, {
    name,
    address,
    statPrefix: tag,
    trafficDirection: TrafficDirection.INBOUND,
    filterChains: inbound.map(chainOf),
    listenerFilters: [...proxyProtocolFilter(first.proxyProtocolFrom), tlsInspector()],
    listenerFiltersTimeout: milliseconds(FIRST_OCTETS_MS),
    perConnectionBufferLimitBytes: BUFFER_OCTETS,
    accessLog: [connectionLog(tag)],
  });
  return [envoyResource(ListenerSchema, name, message)];
}

function chainOf(inbound: Inbound): FilterChain {
  const name = serviceClusterName(inbound);
  const { serverNames, takesUnknown, maximumConnections, idleMs } = inbound;
  return {
    name,
    filterChainMatch: { transportProtocol: 'tls', serverNames: takesUnknown ? [] : serverNames.map((one) => one.toLowerCase()) },
    filters: [
      ...deeperNames(serverNames, takesUnknown),
      connectionLimit(name, maximumConnections || DEFAULT_CONNECTIONS),
      tcpForward({ name, cluster: name, after: 'first-octets', ...(idleMs === 0 ? {} : { idleMs }) }),
    ],
  };
}

/** `*.` is one label to us and any number to Envoy. */
function deeperNames(serverNames: readonly string[], takesUnknown: boolean): readonly Filter[] {
  const wild = serverNames
    .filter((name) => name.startsWith('*.'))
    .map((name) =>
      name
        .toLowerCase()
        .slice(1)
        .replaceAll('.', String.raw`\.`),
    );
  if (wild.length === 0 || takesUnknown) return [];
  const deeper = wild.map((rest) => ({
    rule: {
      case: 'requestedServerName' as const,
      value: { matchPattern: { case: 'safeRegex' as const, value: { regex: `.*\\..*${rest}` } } },
    },
  }));
  const policy = { permissions: deeper, principals: [{ identifier: { case: 'any' as const, value: true } }] };
  return [
    extension('envoy.filters.network.rbac', RBACSchema, {
      statPrefix: 'names.',
      rules: { action: RBAC_Action.DENY, policies: { 'unknown-server-name': policy } },
    }),
  ];
}

const FIRST_OCTETS_MS = 10_000;
const BUFFER_OCTETS = 262_144;
/** Two sockets each: the usual limit of descriptors, 65,536, holds three such endpoints. */
const DEFAULT_CONNECTIONS = 10_000;
