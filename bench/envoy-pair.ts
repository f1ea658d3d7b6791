import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodePem } from '../src/core/x509/pem.ts';
import { makeTestAuthority, type TestAuthority } from '../test/support/test-authority.ts';

type Ports = { readonly service: number; readonly ingress: number; readonly egress: number };

/** The configurations of two sidecars: the caller's, which speaks mutual TLS to the receiver's. Both prove and check a SPIFFE ID. */
export async function writeEnvoyPair(folder: string, ports: Ports): Promise<readonly [string, string]> {
  const authority = makeTestAuthority(Date.now());
  const [orders, stock] = [ID('orders'), ID('stock')];
  const egress = await writeConfig(folder, 'egress', {
    listener: listener('egress', ports.egress, null),
    cluster: cluster(ports.ingress, {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${TLS}.UpstreamTlsContext`,
        common_tls_context: await tlsContext(folder, authority, { own: orders, peer: stock }),
      },
    }),
  });
  const ingress = await writeConfig(folder, 'ingress', {
    listener: listener('ingress', ports.ingress, {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${TLS}.DownstreamTlsContext`,
        require_client_certificate: true,
        common_tls_context: await tlsContext(folder, authority, { own: stock, peer: orders }),
      },
    }),
    cluster: cluster(ports.service, null),
  });
  return [egress, ingress];
}

async function writeConfig(folder: string, name: string, parts: { readonly listener: object; readonly cluster: object }): Promise<string> {
  const file = join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify({ static_resources: { listeners: [parts.listener], clusters: [parts.cluster] } }));
  return file;
}

function listener(name: string, port: number, transportSocket: object | null): object {
  const router = { name: 'envoy.filters.http.router', typed_config: { '@type': `${TYPES}extensions.filters.http.router.v3.Router` } };
  const manager = {
    '@type': `${TYPES}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: 'HTTP1',
    generate_request_id: false,
    http_filters: [router],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'next' } }] }] },
  };
  return {
    name,
    address: socketAddress(port),
    filter_chains: [
      {
        filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }],
        ...(transportSocket === null ? {} : { transport_socket: transportSocket }),
      },
    ],
  };
}

function cluster(port: number, transportSocket: object | null): object {
  return {
    name: 'next',
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: { cluster_name: 'next', endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(port) } }] }] },
    ...(transportSocket === null ? {} : { transport_socket: transportSocket }),
  };
}

async function tlsContext(
  folder: string,
  authority: TestAuthority,
  { own, peer }: { readonly own: string; readonly peer: string },
): Promise<object> {
  const { chain, key } = authority.issue({ uris: [own] });
  const file = async (name: string, text: string): Promise<{ readonly filename: string }> => {
    const filename = join(folder, `${own.split('/').at(-1)}-${name}`);
    await writeFile(filename, text, { mode: 0o600 });
    return { filename };
  };
  return {
    // Envoy's default maximum as a client is TLS 1.2.
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificates: [
      {
        certificate_chain: await file('chain.pem', chain.map((der) => encodePem('CERTIFICATE', der)).join('')),
        private_key: await file('key.pem', key.export({ type: 'pkcs8', format: 'pem' }) as string),
      },
    ],
    validation_context: {
      trusted_ca: await file('root.pem', encodePem('CERTIFICATE', authority.root.der)),
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: peer } }],
    },
  };
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

const TYPES = 'type.googleapis.com/envoy.';
const TLS = `${TYPES}extensions.transport_sockets.tls.v3`;
const ID = (name: string): string => `spiffe://bench.example/prod/${name}`;
