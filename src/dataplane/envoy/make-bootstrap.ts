import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { secretNames } from './held-secrets.ts';

export type BootstrapOptions = {
  readonly proxyId: string;
  readonly spiffeId: SpiffeId;
  /** Data-plane listener of the control plane. */
  readonly control: HostPort;
  /** Unix sockets, absolute: the companion's, and the one that Envoy makes for its admin. */
  readonly companionPath: string;
  readonly adminPath: string;
};

/** Static clusters of the bootstrap, which the control plane's resources name. */
export const COMPANION_CLUSTER = 'countersign_companion';
export const CONTROL_CLUSTER = 'countersign_control';

/**
 * The file with which an Envoy is started beside its companion. It holds no secret and nothing of the settings: all that comes by ADS from
 * the control plane, over mutual TLS with what the companion gives by SDS. Whom Envoy takes for the control plane is in that secret, with its
 * exact SPIFFE ID.
 */
export function makeBootstrap({ proxyId, spiffeId, control, companionPath, adminPath }: BootstrapOptions): object {
  return {
    node: { id: proxyId, cluster: spiffeId },
    admin: { address: { pipe: { path: adminPath, mode: 0o600 } } },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: CONTROL_CLUSTER } }],
      },
      cds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
      lds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
    },
    static_resources: { clusters: [controlCluster(control), companionCluster(companionPath)] },
    // Nothing of the runtime is changed by file, admin or environment. Patterns of routes make larger programs than Envoy takes by itself.
    layered_runtime: { layers: [{ name: 'countersign', static_layer: { re2: { max_program_size: { error_level: 4_000 } } } }] },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            max_active_downstream_connections: MAXIMUM_CONNECTIONS,
          },
        },
      ],
    },
  };
}

function controlCluster({ host, port }: HostPort): object {
  return {
    name: CONTROL_CLUSTER,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: endpointOf(CONTROL_CLUSTER, { socket_address: { address: host, port_value: port } }),
    typed_extension_protocol_options: http2Options({ connection_keepalive: { interval: '30s', timeout: '10s' } }),
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 60 } },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        // The control plane judges each connection anew.
        max_session_keys: 0,
        common_tls_context: {
          // Envoy as a client speaks TLS 1.2 at most unless told otherwise.
          tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
          alpn_protocols: ['h2'],
          tls_certificate_sds_secret_configs: [secretConfig(secretNames.identity)],
          validation_context_sds_secret_config: secretConfig(secretNames.controlPlane),
        },
      },
    },
  };
}

function companionCluster(path: string): object {
  return {
    name: COMPANION_CLUSTER,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: endpointOf(COMPANION_CLUSTER, { pipe: { path } }),
    typed_extension_protocol_options: http2Options({}),
  };
}

function secretConfig(name: string): object {
  return {
    name,
    sds_config: {
      resource_api_version: 'V3',
      // A companion that starts later is waited for.
      initial_fetch_timeout: '0s',
      api_config_source: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: COMPANION_CLUSTER } }],
      },
    },
  };
}

function endpointOf(cluster: string, address: object): object {
  return { cluster_name: cluster, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
}

function http2Options(options: object): object {
  return {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: options },
    },
  };
}

/** Below the usual limit of descriptors of a service; past it Envoy accepts no more. */
const MAXIMUM_CONNECTIONS = 50_000;
