import type { DnsName } from '../identity/dns-name.ts';
import { answerFieldsOf } from '../policy/http-policy.ts';
import { filter, indent, overwrite, typeOf } from './envoy-yaml.ts';
import { certifiedClients, type RenderOrder } from './render-order.ts';
import { timeouts } from './timeouts.ts';

type Lines = readonly string[];

/** The connection manager of one name, with its filters and routes. */
export function httpLines(order: RenderOrder, name: DnsName): Lines {
  return [...managerLines(order), ...identityLines(order), ...filterLines(order), ...routeLines(order, name)];
}

function managerLines({ policy }: RenderOrder): Lines {
  return [
    typeOf('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    'stat_prefix: secure',
    '# Whoever sends slowly is cut off (slowloris, CWE-400).',
    `request_headers_timeout: ${timeouts.headSeconds}s`,
    `stream_idle_timeout: ${timeouts.stalledSeconds}s`,
    'max_request_headers_kb: 16',
    'common_http_protocol_options:',
    ...indent([
      `idle_timeout: ${timeouts.idleSeconds}s`,
      'max_headers_count: 100',
      '# Services read underscores as hyphens, by which a forged proof would pass (RFC 9440 section 4).',
      'headers_with_underscores_action: DROP_HEADER',
    ]),
    'http2_protocol_options: { max_concurrent_streams: 100, initial_stream_window_size: 65536, initial_connection_window_size: 1048576 }',
    'use_remote_address: true',
    'strip_any_host_port: true',
    'server_header_transformation: PASS_THROUGH',
    ...accessLog,
    ...(policy.http.hostMatchesSni
      ? []
      : [
          '# Hosts that share this listener may be called on one connection, as the policy does not hold them to the name of the handshake.',
        ]),
  ];
}

const accessLog: Lines = [
  'access_log:',
  '- name: stdout',
  ...indent([
    'typed_config:',
    ...indent([
      typeOf('access_loggers.stream.v3.StdoutAccessLog'),
      'log_format:',
      ...indent([
        'json_format:',
        ...indent([
          'time: "%START_TIME%"',
          'address: "%DOWNSTREAM_REMOTE_ADDRESS%"',
          'status: "%RESPONSE_CODE%"',
          'call: "%REQ(:METHOD)% %REQ(:PATH)%"',
          'tls: "%DOWNSTREAM_TLS_VERSION%"',
          'name: "%REQUESTED_SERVER_NAME%"',
          'serial: "%DOWNSTREAM_PEER_SERIAL%"',
          'caller: "%DOWNSTREAM_PEER_URI_SAN%"',
          'details: "%RESPONSE_CODE_DETAILS%"',
        ]),
      ]),
    ]),
  ]),
];

function identityLines(order: RenderOrder): Lines {
  // Also for the rules of callers, which read it; whom it is not to be told to, the routes keep it from.
  const tells = order.clients.kind === 'certified' && order.mode === 'enforce';
  return [
    '# What a caller sends under this name is a forged proof; it is replaced by what was proved.',
    `forward_client_cert_details: ${tells ? 'SANITIZE_SET' : 'SANITIZE'}`,
    ...(tells ? ['set_current_client_cert_details: { uri: true }'] : []),
  ];
}

function filterLines(order: RenderOrder): Lines {
  const callers = certifiedClients(order)?.callers ?? null;
  const { maximumBodyOctets, rates } = order.policy.http;
  return [
    'http_filters:',
    ...(callers === null || order.mode !== 'enforce' ? [] : rbacLines(callers)),
    ...(rates.endpoint === null
      ? []
      : filter('local_ratelimit', 'filters.http.local_ratelimit.v3.LocalRateLimit', [
          'stat_prefix: endpoint',
          `token_bucket: { max_tokens: ${rates.endpoint.burst}, tokens_per_fill: ${rates.endpoint.perSecond}, fill_interval: 1s }`,
          'filter_enabled: { default_value: { numerator: 100 } }',
          'filter_enforced: { default_value: { numerator: 100 } }',
        ])),
    ...(maximumBodyOctets === null ? [] : filter('buffer', 'filters.http.buffer.v3.Buffer', [`max_request_bytes: ${maximumBodyOctets}`])),
    ...filter('router', 'filters.http.router.v3.Router', []),
  ];
}

function rbacLines(callers: readonly string[]): Lines {
  return filter('rbac', 'filters.http.rbac.v3.RBAC', [
    'rules:',
    ...indent([
      'action: ALLOW',
      '# Letter by letter, on a URI of the certificate that was verified. Without a policy nobody is let in.',
      ...(callers.length === 0
        ? ['policies: {}']
        : [
            'policies:',
            ...indent([
              'callers:',
              ...indent([
                'permissions: [{ any: true }]',
                'principals:',
                ...callers.flatMap((caller) => [
                  '- and_ids:',
                  ...indent(indent(['ids:', `- authenticated: { principal_name: { exact: ${JSON.stringify(caller)} } }`, ALONE])),
                ]),
              ]),
            ]),
          ]),
    ]),
  ]);
}

function routeLines(order: RenderOrder, name: DnsName): Lines {
  const hosts = order.policy.http.hostMatchesSni ? [name] : order.names;
  const fields = answerFieldsOf(order.policy.http);
  const kept = order.policy.http.identityFields.includes('x-forwarded-client-cert') ? '' : ', x-forwarded-client-cert';
  return [
    'route_config:',
    ...indent([
      `name: ${name}`,
      `request_headers_to_remove: [client-cert, client-cert-chain, forwarded${kept}]`,
      '# Set anew, not appended to: what came under this name is what the caller wrote.',
      'request_headers_to_add:',
      ...overwrite('x-forwarded-for', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
      'response_headers_to_remove: [server, x-envoy-upstream-service-time]',
      ...(fields.length === 0
        ? []
        : ['# On TLS only, which has these routes to itself (RFC 6797 section 7.2).', 'response_headers_to_add:']),
      ...fields.flatMap(([field, value]) => overwrite(field, value)),
      'virtual_hosts:',
      '- name: served',
      ...indent([`domains: [${hosts.join(', ')}]`, 'routes: [{ match: { prefix: / }, route: { cluster: service, timeout: 0s } }]']),
      ...misdirectedHost,
    ]),
  ];
}

/** Who asks for another host. */
export const misdirectedHost: Lines = [
  '- name: misdirected',
  ...indent(['domains: ["*"]', 'routes: [{ match: { prefix: / }, direct_response: { status: 421 } }]']),
];

/** What the manager wrote of the certificate names no second URI: an X509-SVID has exactly one (SPIFFE X509-SVID section 2). */
const ALONE = '- not_id: { header: { name: x-forwarded-client-cert, string_match: { safe_regex: { regex: ".*URI=.*URI=.*" } } } }';
