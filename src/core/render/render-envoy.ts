import type { DnsName } from '../identity/dns-name.ts';
import type { Gap } from './demands.ts';
import { httpLines, misdirectedHost } from './envoy-http-lines.ts';
import { tlsLines, upstreamTlsLines } from './envoy-tls-lines.ts';
import { addressLines, filter, indent, typed, typeOf } from './envoy-yaml.ts';
import { headingOf } from './render-heading.ts';
import type { RenderedFile, RenderOrder, Upstream } from './render-order.ts';
import { timeouts } from './timeouts.ts';

type Lines = readonly string[];

/** A whole bootstrap of static resources, as YAML. Texts in it are written as JSON, which YAML takes. */
export function renderEnvoy(order: RenderOrder, gaps: readonly Gap[]): readonly RenderedFile[] {
  const lines = [
    ...headingOf(order, gaps).map((line) => `# ${line}`),
    '# There is no admin port: it shows and stops everything for whoever reaches it.',
    'static_resources:',
    ...indent([
      'listeners:',
      '- name: secure',
      ...indent([
        ...addressLines(order.listen),
        ...listenerLines,
        'filter_chains:',
        '# One chain a name, each with routes of its own, which answer 421 to another host (RFC 9110 section 15.5.20). There is no chain for',
        '# another name or for none. require_sni of DownstreamTlsContext is not implemented.',
        ...order.names.flatMap((name) => chainLines(order, name)),
      ]),
      ...plainListener(order),
      'clusters:',
      ...clusterLines(order.upstream!),
    ]),
  ];
  return [{ role: 'configuration', text: `${lines.join('\n')}\n` }];
}

const listenerLines: Lines = [
  'per_connection_buffer_limit_bytes: 32768',
  'listener_filters:',
  '- name: tls_inspector',
  ...indent([typed('filters.listener.tls_inspector.v3.TlsInspector')]),
  `listener_filters_timeout: ${timeouts.headSeconds}s`,
];

function chainLines(order: RenderOrder, name: DnsName): Lines {
  return [
    `- name: ${name}`,
    ...indent([
      `filter_chain_match: { server_names: [${name}], transport_protocol: tls }`,
      `transport_socket_connect_timeout: ${timeouts.headSeconds}s`,
      'transport_socket:',
      ...indent(['name: tls', 'typed_config:', ...indent(tlsLines(order))]),
      'filters:',
      '- name: connection_limit',
      ...indent([
        'typed_config:',
        ...indent([
          typeOf('filters.network.connection_limit.v3.ConnectionLimit'),
          'stat_prefix: secure',
          `max_connections: ${order.policy.limits.connections}`,
        ]),
      ]),
      '- name: http',
      ...indent(['typed_config:', ...indent([...httpLines(order, name)])]),
    ]),
  ];
}

function plainListener({ plain, names, listen, mode }: RenderOrder): Lines {
  if (plain.kind === 'none') return [];
  const serves = plain.kind === 'serve' && mode !== 'enforce';
  const route = serves
    ? 'route: { cluster: service, timeout: 0s }'
    : `redirect: { https_redirect: true, port_redirect: ${listen.port}, response_code: PERMANENT_REDIRECT }`;
  return [
    serves ? '# In the clear, until the mode is enforce.' : '# In the clear nothing is served: RFC 6797 section 7.2.',
    '- name: clear',
    ...indent([
      ...addressLines(plain.listen),
      'filter_chains:',
      '- filters:',
      ...indent([
        '- name: http',
        ...indent([
          'typed_config:',
          ...indent([
            typeOf('filters.network.http_connection_manager.v3.HttpConnectionManager'),
            'stat_prefix: clear',
            `request_headers_timeout: ${timeouts.headSeconds}s`,
            `stream_idle_timeout: ${timeouts.stalledSeconds}s`,
            'common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }',
            'strip_any_host_port: true',
            'forward_client_cert_details: SANITIZE',
            'http_filters:',
            ...filter('router', 'filters.http.router.v3.Router', []),
            'route_config:',
            ...indent([
              'request_headers_to_remove: [client-cert, client-cert-chain, forwarded]',
              'virtual_hosts:',
              '- name: served',
              ...indent([`domains: [${names.join(', ')}]`, `routes: [{ match: { prefix: / }, ${route} }]`]),
              ...misdirectedHost,
            ]),
          ]),
        ]),
      ]),
    ]),
  ];
}

function clusterLines(upstream: Upstream): Lines {
  const { address } = upstream;
  const socket = `{ socket_address: { address: ${JSON.stringify(address.host)}, port_value: ${address.port} } }`;
  return [
    '- name: service',
    ...indent([
      'type: STATIC',
      `connect_timeout: ${timeouts.connectSeconds}s`,
      'load_assignment:',
      ...indent(['cluster_name: service', `endpoints: [{ lb_endpoints: [{ endpoint: { address: ${socket} } }] }]`]),
      ...(upstream.kind === 'plain'
        ? []
        : ['transport_socket:', ...indent(['name: tls', 'typed_config:', ...indent(upstreamTlsLines(upstream))])]),
    ]),
  ];
}
