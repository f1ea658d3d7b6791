import { answerFieldsOf } from '../policy/http-policy.ts';
import type { TlsSuite } from '../policy/tls-parameters.ts';
import type { Gap } from './demands.ts';
import { groupNamesOf } from './proxy-program.ts';
import { headingOf } from './render-heading.ts';
import { certifiedClients, type RenderedFile, type RenderOrder, type Upstream } from './render-order.ts';
import { formatAddress, portSuffix } from './rendered-value.ts';
import { timeouts } from './timeouts.ts';

type Lines = readonly string[];

/** A whole Caddyfile. */
export function renderCaddy(order: RenderOrder, gaps: readonly Gap[]): readonly RenderedFile[] {
  const { names, listen } = order;
  const lines = [
    ...headingOf(order, gaps).map((line) => `# ${line}`),
    '{',
    ...indent(globalLines(order)),
    '}',
    '',
    `${names.map((name) => `https://${name}:${listen.port}`).join(', ')} {`,
    ...indent([
      `bind ${listen.host}`,
      ...tlsLines(order),
      'log',
      ...answerLines(order),
      ...callerLines(order),
      ...bodyLines(order),
      ...proxyLines(order),
    ]),
    '}',
    ...plainSite(order),
  ];
  return [{ role: 'configuration', text: `${lines.join('\n')}\n` }];
}

function globalLines({ listen }: RenderOrder): Lines {
  return [
    '# The admin API takes a whole configuration from whoever reaches it.',
    'admin off',
    '# No certificates but the ones below, and no redirects but the one below.',
    'auto_https off',
    `servers ${formatAddress(listen)} {`,
    ...indent([
      'protocols h1 h2',
      '# RFC 9110 section 15.5.20: 421 for another host than the handshake was for. With client certificates a host could be reached by the rules of another.',
      'strict_sni_host on',
      'max_header_size 16KB',
      '# Whoever sends slowly is cut off (slowloris, CWE-400). Caddy can say it of a whole call only.',
      'timeouts {',
      ...indent([
        `read_header ${timeouts.headSeconds}s`,
        `read_body ${timeouts.wholeSeconds}s`,
        `write ${timeouts.wholeSeconds}s`,
        `idle ${timeouts.idleSeconds}s`,
      ]),
      '}',
    ]),
    '}',
  ];
}

function tlsLines(order: RenderOrder): Lines {
  const { policy, program, certificate, key, mode } = order;
  const { tls } = policy;
  const clients = certifiedClients(order);
  const names = groupNamesOf(program);
  return [
    `tls ${certificate} ${key} {`,
    ...indent([
      '# RFC 8996: nothing older than TLS 1.2. RFC 9325 section 4.2: forward secrecy and authenticated encryption.',
      `protocols tls${tls.minimumVersion} tls${tls.maximumVersion}`,
      ...(tls.minimumVersion === '1.2' ? [`ciphers ${tls.suites.map((suite) => goSuites[suite]).join(' ')}`] : []),
      `curves ${tls.groups.flatMap((group) => names.get(group) ?? []).join(' ')}`,
      ...(clients === null
        ? []
        : [
            'client_auth {',
            ...indent([
              mode === 'enforce'
                ? 'mode require_and_verify'
                : '# Asked for and not verified, because Caddy can only refuse what does not verify; nothing is told of it below.\nmode request',
              `trust_pool file ${clients.trust}`,
            ]),
            '}',
          ]),
    ]),
    '}',
  ];
}

function answerLines({ policy }: RenderOrder): Lines {
  const fields = answerFieldsOf(policy.http);
  return [
    'header {',
    ...indent([
      '# > is set last, whatever the service says: one value each (RFC 6797 section 7.2: on TLS only).',
      ...fields.map(([name, value]) => `>${name} "${value}"`),
      '-Server',
      '-Via',
    ]),
    '}',
  ];
}

function callerLines(order: RenderOrder): Lines {
  const callers = certifiedClients(order)?.callers ?? null;
  if (callers === null || order.mode !== 'enforce') return [];
  return [
    '# An X509-SVID has exactly one URI (SPIFFE X509-SVID section 2); what is not on the list is nobody.',
    `@stranger not vars {${URI}.0} ${callers.length === 0 ? NOBODY : callers.join(' ')}`,
    'respond @stranger 403',
    '# Two rules, because one with both would hold where either does.',
    `@ambiguous not vars {${URI}.1} ""`,
    'respond @ambiguous 403',
  ];
}

function bodyLines({ policy }: RenderOrder): Lines {
  const { maximumBodyOctets } = policy.http;
  return maximumBodyOctets === null ? [] : ['request_body {', ...indent([`max_size ${maximumBodyOctets}`]), '}'];
}

function proxyLines(order: RenderOrder): Lines {
  const clients = certifiedClients(order);
  const told = order.policy.http.identityFields;
  const isProved = clients !== null && order.mode === 'enforce';
  const uri = clients?.callers === null ? '' : `;URI={${URI}.0}`;
  return [
    ...stripLines,
    ...upstreamLines(order.upstream!, [
      ...(isProved && told.includes('client-cert')
        ? [
            '# A byte sequence (RFC 9440 section 2.2, RFC 9651 section 3.3.5).',
            'header_up Client-Cert ":{http.request.tls.client.certificate_der_base64}:"',
          ]
        : []),
      ...(isProved && told.includes('x-forwarded-client-cert')
        ? [`header_up X-Forwarded-Client-Cert "Hash={http.request.tls.client.fingerprint}${uri}"`]
        : []),
    ]),
  ];
}

const stripLines: Lines = [
  '# Copies that a caller sends are a forged proof (RFC 9440 section 4), with underscores too, which services read as hyphens. X-Forwarded-For, -Proto and',
  '# -Host are set anew by Caddy, as no proxy before it is trusted.',
  'request_header -Client-Cert*',
  'request_header -Client_*',
  'request_header -X-Forwarded-Client*',
  'request_header -X-Forwarded_*',
  'request_header -X_*',
  'request_header -Forwarded',
];

function upstreamLines(upstream: Upstream, more: Lines): Lines {
  const transport =
    upstream.kind === 'plain'
      ? []
      : [
          '# The service proves this name under these authorities (RFC 9525 section 6).',
          'transport http {',
          ...indent([
            `tls_server_name ${upstream.serverName}`,
            `tls_trust_pool file ${upstream.trust}`,
            ...(upstream.own === null ? [] : [`tls_client_auth ${upstream.own.certificate} ${upstream.own.key}`]),
            `dial_timeout ${timeouts.connectSeconds}s`,
          ]),
          '}',
        ];
  const scheme = upstream.kind === 'plain' ? 'http' : 'https';
  return [`reverse_proxy ${scheme}://${formatAddress(upstream.address)} {`, ...indent([...more, ...transport]), '}'];
}

function plainSite({ plain, names, upstream, mode, listen }: RenderOrder): Lines {
  if (plain.kind === 'none') return [];
  const serves = plain.kind === 'serve' && mode !== 'enforce';
  return [
    '',
    serves ? '# In the clear, until the mode is enforce.' : '# In the clear nothing is served: RFC 6797 section 7.2.',
    `${names.map((name) => `http://${name}:${plain.listen.port}`).join(', ')} {`,
    ...indent([
      `bind ${plain.listen.host}`,
      ...(serves ? [...stripLines, ...upstreamLines(upstream!, [])] : [`redir https://{host}${portSuffix(listen)}{uri} 308`]),
    ]),
    '}',
    // Caddy answers 200 to a host that it does not know.
    `http://:${plain.listen.port} {`,
    ...indent([`bind ${plain.listen.host}`, 'respond 421']),
    '}',
  ];
}

function indent(lines: Lines): Lines {
  return lines.flatMap((line) => line.split('\n')).map((line) => `\t${line}`);
}

/** No URI of a certificate, so that a list of no callers is a list. */
const NOBODY = 'nobody';

const URI = 'http.request.tls.client.san.uris';

/** Go writes the names of the IANA, but for the two that are older than these. */
const goSuites: { readonly [suite in TlsSuite]: string } = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384': 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'ECDHE-RSA-AES128-GCM-SHA256': 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384': 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305': 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305': 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
};
