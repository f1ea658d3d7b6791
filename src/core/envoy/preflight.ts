import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from '../messages/generated/envoy/config/cluster/v3/cluster_pb.ts';
import type { ConfigSource } from '../messages/generated/envoy/config/core/v3/config_source_pb.ts';
import { ListenerSchema } from '../messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../messages/generated/envoy/config/route/v3/route_pb.ts';
import { HttpConnectionManagerSchema } from '../messages/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { TcpProxySchema } from '../messages/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { ProxyProtocolUpstreamTransportSchema } from '../messages/generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts';
import type { SdsSecretConfig } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import {
  type CommonTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { Instant } from '../time/instant.ts';
import type { EnvoyResources } from './compile-envoy.ts';
import type { EnvoyResource } from './envoy-resource.ts';
import { secretFault } from './secret-fault.ts';
import { SERVERS_TRUST } from './trust-secret.ts';
import { envoyGroups, envoySuites } from './tls-parameters.ts';

/** A resource that is better not sent, and why. */
export type EnvoyFault = { readonly resource: EnvoyResource; readonly reason: string };

/**
 * What Envoy would refuse of these, wait for in vain, or be unsafe with. Nothing of it is sent, and what it has of that name goes on; a NACK
 * would come for the whole response, with parts of it in force.
 */
export function preflight(now: Instant, resources: EnvoyResources): readonly EnvoyFault[] {
  const names = {
    secrets: namesOf(resources.secrets),
    clusters: namesOf(resources.clusters),
    endpoints: namesOf(resources.endpoints),
    routes: namesOf(resources.routes),
  };
  const judges: readonly (readonly [readonly EnvoyResource[], (octets: Uint8Array) => string | null])[] = [
    [resources.clusters, (octets) => clusterFault(octets, names)],
    [resources.endpoints, () => null],
    [resources.secrets, (octets) => secretFault(now, octets)],
    [resources.listeners, (octets) => listenerFault(octets, names)],
    [resources.routes, (octets) => routesFault(octets, names)],
  ];
  const known = verdictsAmong(names);
  return judges.flatMap(([some, judge]) =>
    some.flatMap((resource) => {
      // What was found clean among the same names is not looked at again: replicas share most of their resources, to the object.
      if (known.has(resource)) return [];
      const reason =
        resource.octets.length > MAXIMUM_OCTETS ? `${resource.octets.length} octets, at most ${MAXIMUM_OCTETS}` : judged(judge, resource);
      if (reason === null) known.add(resource);
      return reason === null ? [] : [{ resource, reason }];
    }),
  );
}

function verdictsAmong(names: Names): WeakSet<EnvoyResource> {
  const key = [names.secrets, names.clusters, names.endpoints, names.routes].map((set) => [...set].join('\n')).join('\0');
  const held = clean.get(key);
  if (held !== undefined) return held;
  if (clean.size >= MAXIMUM_SCOPES) clean.clear();
  const fresh = new WeakSet<EnvoyResource>();
  clean.set(key, fresh);
  return fresh;
}

type Names = { readonly [kind in 'secrets' | 'clusters' | 'endpoints' | 'routes']: ReadonlySet<string> };

function judged(judge: (octets: Uint8Array) => string | null, { octets }: EnvoyResource): string | null {
  try {
    return judge(octets);
  } catch (error) {
    return `it cannot be read: ${(error as Error).message}`;
  }
}

function clusterFault(octets: Uint8Array, names: Names): string | null {
  const { edsClusterConfig, transportSocket, name } = fromBinary(ClusterSchema, octets);
  const eds = edsClusterConfig?.serviceName || name;
  if (edsClusterConfig !== undefined && !names.endpoints.has(eds)) return `its endpoints ${eds} are absent`;
  return socketFault(transportSocket?.configType.value, names);
}

function listenerFault(octets: Uint8Array, names: Names): string | null {
  const { filterChains, defaultFilterChain } = fromBinary(ListenerSchema, octets);
  for (const { transportSocket, filters, name } of [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])]) {
    const faults = [
      socketFault(transportSocket?.configType.value, names),
      ...filters.map(({ configType }) => filterFault(configType.value, names)),
    ];
    const fault = faults.find((one) => one !== null);
    if (fault !== undefined) return `chain ${name}: ${fault}`;
  }
  return null;
}

function filterFault(config: Any | undefined, names: Names): string | null {
  if (config === undefined) return 'a filter without configuration';
  const manager = anyUnpack(config, HttpConnectionManagerSchema);
  if (manager?.routeSpecifier.case === 'rds' && !names.routes.has(manager.routeSpecifier.value.routeConfigName))
    return `its routes ${manager.routeSpecifier.value.routeConfigName} are absent`;
  const forward = anyUnpack(config, TcpProxySchema);
  if (forward?.clusterSpecifier.case === 'cluster' && !names.clusters.has(forward.clusterSpecifier.value))
    return `its cluster ${forward.clusterSpecifier.value} is absent`;
  return null;
}

function routesFault(octets: Uint8Array, names: Names): string | null {
  for (const { routes } of fromBinary(RouteConfigurationSchema, octets).virtualHosts) {
    for (const { action } of routes) {
      if (action.case !== 'route' || action.value.clusterSpecifier.case !== 'cluster') continue;
      if (!names.clusters.has(action.value.clusterSpecifier.value)) return `its cluster ${action.value.clusterSpecifier.value} is absent`;
    }
  }
  return null;
}

function socketFault(config: Any | undefined, names: Names): string | null {
  if (config === undefined) return null;
  const wrapped = anyUnpack(config, ProxyProtocolUpstreamTransportSchema)?.transportSocket?.configType.value;
  if (wrapped !== undefined) return socketFault(wrapped, names);
  const upstream = anyUnpack(config, UpstreamTlsContextSchema);
  if (upstream !== undefined) {
    // Envoy takes it, and believes whoever answers.
    if (upstream.commonTlsContext?.validationContextType.case === undefined) return 'nothing says who the server has to be';
    return contextFault(upstream.commonTlsContext, names);
  }
  const downstream = anyUnpack(config, DownstreamTlsContextSchema);
  if (downstream?.commonTlsContext === undefined) return null;
  const { sessionTicketKeysType: tickets, commonTlsContext } = downstream;
  const keys = tickets.case === 'sessionTicketKeysSdsSecretConfig' ? [tickets.value] : [];
  return contextFault(commonTlsContext, names) ?? secretsFault(keys, names);
}

function contextFault({ tlsParams, tlsCertificateSdsSecretConfigs, validationContextType }: CommonTlsContext, names: Names): string | null {
  const group = tlsParams?.ecdhCurves.find((one) => !envoyGroups.has(one));
  if (group !== undefined) return `it does not know the group ${JSON.stringify(group.slice(0, 60))}`;
  const suite = tlsParams?.cipherSuites.find((one) => !envoySuites.has(one));
  if (suite !== undefined) return `it does not know the suite ${JSON.stringify(suite.slice(0, 60))}`;
  if (tlsParams !== undefined && tlsParams.tlsMinimumProtocolVersion > tlsParams.tlsMaximumProtocolVersion)
    return 'its lowest version of TLS is above its highest';
  const validation = validationsOf(validationContextType);
  if (typeof validation === 'string') return validation;
  return secretsFault([...tlsCertificateSdsSecretConfigs, ...validation], names);
}

/** What says who the other side has to be, or why nothing does. */
function validationsOf(type: CommonTlsContext['validationContextType']): readonly SdsSecretConfig[] | string {
  if (type.case === 'combinedValidationContext') {
    const { defaultValidationContext, validationContextSdsSecretConfig: secret } = type.value;
    // Its secret has no names, so that every certificate of the trusted CA would do.
    if ((defaultValidationContext?.matchTypedSubjectAltNames.length ?? 0) === 0) return 'nothing says which names the server may have';
    return secret === undefined ? 'nothing says what the server has to chain to' : [secret];
  }
  if (type.case !== 'validationContextSdsSecretConfig') return [];
  return type.value.name === SERVERS_TRUST ? 'nothing says which names the server may have' : [type.value];
}

/** A port that names a secret which never comes stays closed for ever. */
function secretsFault(named: readonly SdsSecretConfig[], { secrets }: Names): string | null {
  const absent = named.find(({ name, sdsConfig }) => isOurs(sdsConfig) && !secrets.has(name));
  return absent === undefined ? null : `its secret ${absent.name} is absent`;
}

/** Others are the companion's. */
function isOurs(source: ConfigSource | undefined): boolean {
  return source?.configSourceSpecifier.case === 'ads';
}

function namesOf(resources: readonly EnvoyResource[]): ReadonlySet<string> {
  return new Set(resources.map(({ name }) => name));
}

/** What was found clean, by the names that it may refer to. */
const clean = new Map<string, WeakSet<EnvoyResource>>();
/** As many kinds of replicas. */
const MAXIMUM_SCOPES = 1_000;
/** An Envoy takes more, but is kept busy for most of a second by it: the lists of 300,000 revoked certificates. */
const MAXIMUM_OCTETS = 16 * 1024 * 1024;
