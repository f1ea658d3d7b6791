import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CALLER, type Gateway, inPeers, onPath } from './gateway-setup.ts';

/** With its RBAC for the one caller and XFCC, as the proxy does. */
export const envoy: Gateway = {
  name: 'envoy',
  program: inPeers('envoy', 'envoy') ?? onPath('envoy'),
  async prepare({ folder, port, originPort, certFile, keyFile, rootFile }, command) {
    const file = join(folder, 'envoy.json');
    const tls = typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      require_client_certificate: true,
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3', ecdh_curves: ['X25519'] },
        tls_certificates: [{ certificate_chain: { filename: certFile }, private_key: { filename: keyFile } }],
        validation_context: { trusted_ca: { filename: rootFile } },
      },
    });
    const http = typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: 'gateway',
      codec_type: 'HTTP1',
      forward_client_cert_details: 'SANITIZE_SET',
      set_current_client_cert_details: { uri: true, cert: true },
      common_http_protocol_options: { idle_timeout: '600s' },
      route_config: {
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }] }],
      },
      http_filters: [
        {
          name: 'envoy.filters.http.rbac',
          typed_config: typed('envoy.extensions.filters.http.rbac.v3.RBAC', {
            rules: {
              action: 'ALLOW',
              policies: {
                callers: { permissions: [{ any: true }], principals: [{ authenticated: { principal_name: { exact: CALLER } } }] },
              },
            },
          }),
        },
        { name: 'envoy.filters.http.router', typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {}) },
      ],
    });
    const listener = {
      name: 'gateway',
      address: address(port),
      filter_chains: [
        {
          transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: tls },
          filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: http }],
        },
      ],
    };
    const cluster = {
      name: 'origin',
      type: 'STATIC',
      load_assignment: { cluster_name: 'origin', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(originPort) } }] }] },
    };
    await writeFile(file, JSON.stringify({ static_resources: { listeners: [listener], clusters: [cluster] } }));
    return { command, args: ['-c', file, '--disable-hot-restart', '--concurrency', '1', '-l', 'error'] };
  },
};

/** Envoy's form of an address. */
function address(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

/** Envoy's form of a configuration of this type. */
function typed(type: string, config: object) {
  return { '@type': `type.googleapis.com/${type}`, ...config };
}
