import { create, toBinary } from '@bufbuild/protobuf';
import {
  type Inbound,
  Origination,
  type Outbound,
  ProxyProtocol,
  type RevokedSet,
  type SocketAddress,
  Termination,
} from '../messages/generated/countersign/v1/settings_pb.ts';
import { Cluster_DiscoveryType, Cluster_LbPolicy, ClusterSchema } from '../messages/generated/envoy/config/cluster/v3/cluster_pb.ts';
import type { TransportSocketSchema } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import { ProxyProtocolConfig_Version } from '../messages/generated/envoy/config/core/v3/proxy_protocol_pb.ts';
import { ClusterLoadAssignmentSchema } from '../messages/generated/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ProxyProtocolUpstreamTransportSchema } from '../messages/generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts';
import {
  HttpProtocolOptions_ExplicitHttpConfigSchema,
  HttpProtocolOptionsSchema,
} from '../messages/generated/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import { breakers } from './breakers.ts';
import { type AccessLogName, type EnvoyProtocol, formatAccessLogName } from './access-log-name.ts';
import { certificatesMark } from './certificates-mark.ts';
import type { EnvoyInput } from './compile-input.ts';
import { adsSource } from './config-source.ts';
import { envoyAddress } from './envoy-address.ts';
import { encodedResource, type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { joinedMessage } from './joined-message.ts';
import { type Init, extension, milliseconds, pack } from './pack.ts';
import { envoyProtocol } from './protocol-name.ts';
import { replicaRules } from './replica-rules.ts';
import { plaintextSocket, upstreamTls } from './tls-context.ts';

/** A way to speak to somebody, and the addresses of whom. */
export type ClusterPair = { readonly cluster: EnvoyResource; readonly endpoints: EnvoyResource };

type Cluster = Init<typeof ClusterSchema>;
type TransportSocket = Init<typeof TransportSocketSchema>;

/** Of an endpoint the service behind Envoy, or where its octets go on untouched. */
export function serviceCluster(inbound: Inbound): ClusterPair {
  const protocol = envoyProtocol(inbound.protocol);
  const socket = withPreamble(plaintextSocket(), inbound.proxyProtocolTo);
  return clusterOf(serviceClusterName(inbound), { protocol, addresses: [inbound.upstream], rules: { transportSocket: socket } });
}

/** An endpoint of somebody else. */
export function endpointCluster(input: EnvoyInput, outbound: Outbound): ClusterPair {
  const protocol = envoyProtocol(outbound.protocol);
  const transportSocket = upstreamTls(input, outbound, protocol);
  const rules = { transportSocket, ...replicaRules(outbound, protocol) };
  const unmarked = clusterOf(endpointClusterName(outbound), { protocol, addresses: outbound.upstreams, rules });
  const mark = serverMark(outbound, input.revoked);
  if (mark === null) return unmarked;
  const { name, octets, digest: base } = unmarked.cluster;
  const marked = joinedMessage(octets, toBinary(ClusterSchema, create(ClusterSchema, mark)));
  return { ...unmarked, cluster: { ...encodedResource(ClusterSchema, name, marked), base } };
}

/** Whom a server has to be is asked in handshakes alone: another mark is another cluster, which takes no open connection over. */
function serverMark({ origination, serverSpiffeId }: Outbound, revoked: RevokedSet): Cluster | null {
  if (origination !== Origination.MTLS) return null;
  const server = revoked.suspendedSpiffeIds.includes(serverSpiffeId) ? '' : serverSpiffeId;
  return { metadata: { filterMetadata: { countersign: { server, revoked: certificatesMark(revoked, [serverSpiffeId]) } } } };
}

export function serviceClusterName({ endpointId, protocol, termination }: Inbound): string {
  const isCarried = termination === Termination.PASSTHROUGH || termination === Termination.MUTUAL;
  return formatAccessLogName({
    side: 'inbound',
    endpointId,
    channel: isCarried ? 'passthrough' : 'plaintext',
    protocol: envoyProtocol(protocol),
  });
}

/** Another channel is another cluster: calls move to it when it is ready, and what is under way ends on the old one. */
export function endpointClusterName({ endpointId, protocol, origination }: Outbound): string {
  const channel = channels[origination] ?? 'plaintext';
  return formatAccessLogName({ side: 'outbound', endpointId, channel, protocol: envoyProtocol(protocol) });
}

type ClusterParts = {
  readonly protocol: EnvoyProtocol;
  readonly addresses: readonly (SocketAddress | undefined)[];
  readonly rules: Cluster;
};

function clusterOf(name: string, { protocol, addresses, rules }: ClusterParts): ClusterPair {
  const cluster: Cluster = {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: adsSource(), serviceName: name },
    connectTimeout: milliseconds(CONNECT_MS),
    perConnectionBufferLimitBytes: BUFFER_OCTETS,
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    circuitBreakers: { thresholds: [breakers()] },
    ...(protocol === 'tcp' ? {} : { typedExtensionProtocolOptions: { [HTTP_OPTIONS]: httpOptions(protocol) } }),
    ...rules,
  };
  const lbEndpoints = addresses
    .map(envoyAddress)
    .filter((address) => address !== null)
    .map((address) => ({ hostIdentifier: { case: 'endpoint' as const, value: { address } } }));
  return {
    cluster: envoyResource(ClusterSchema, name, create(ClusterSchema, cluster)),
    endpoints: envoyResource(
      ClusterLoadAssignmentSchema,
      name,
      create(ClusterLoadAssignmentSchema, { clusterName: name, endpoints: [{ lbEndpoints }] }),
    ),
  };
}

function httpOptions(protocol: 'http' | 'grpc') {
  const alive = { interval: milliseconds(KEEPALIVE_MS), timeout: milliseconds(KEEPALIVE_ANSWER_MS) };
  const explicit: Init<typeof HttpProtocolOptions_ExplicitHttpConfigSchema> = {
    protocolConfig:
      protocol === 'grpc'
        ? { case: 'http2ProtocolOptions', value: { connectionKeepalive: alive } }
        : { case: 'httpProtocolOptions', value: {} },
  };
  return pack(HttpProtocolOptionsSchema, {
    commonHttpProtocolOptions: { idleTimeout: milliseconds(protocol === 'grpc' ? IDLE_HTTP2_MS : IDLE_MS) },
    upstreamProtocolOptions: { case: 'explicitHttpConfig', value: explicit },
  });
}

function withPreamble(transportSocket: TransportSocket, to: ProxyProtocol): TransportSocket {
  if (to === ProxyProtocol.UNSPECIFIED) return transportSocket;
  const version = to === ProxyProtocol.V1 ? ProxyProtocolConfig_Version.V1 : ProxyProtocolConfig_Version.V2;
  return extension('envoy.transport_sockets.upstream_proxy_protocol', ProxyProtocolUpstreamTransportSchema, {
    config: { version },
    transportSocket,
  });
}

const channels: { readonly [origination: number]: AccessLogName['channel'] } = {
  [Origination.MTLS]: 'mtls',
  [Origination.TLS]: 'tls',
};
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const CONNECT_MS = 5_000;
/** Of each connection; what a slow peer does not take stays with the other end. */
const BUFFER_OCTETS = 262_144;
/** Servers of Node close what was idle for 5 s; a call must not be sent into that. */
const IDLE_MS = 4_000;
const IDLE_HTTP2_MS = 310_000;
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_ANSWER_MS = 10_000;
