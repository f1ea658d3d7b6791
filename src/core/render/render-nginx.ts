import { answerFieldsOf, type CallRate } from '../policy/http-policy.ts';
import { signatureAlgorithms, type TlsGroup } from '../policy/tls-parameters.ts';
import { renderNjsScript } from './caller-script.ts';
import type { Gap } from './demands.ts';
import { groupNamesOf, isAtLeast } from './proxy-program.ts';
import { headingOf } from './render-heading.ts';
import { certifiedClients, type RenderedFile, type RenderOrder, type Upstream } from './render-order.ts';
import { formatAddress, portSuffix } from './rendered-value.ts';
import { timeouts } from './timeouts.ts';

type Lines = readonly string[];

/** A whole nginx.conf, and the script of njs that it loads. */
export function renderNginx(order: RenderOrder, gaps: readonly Gap[]): readonly RenderedFile[] {
  const heading = headingOf(order, gaps);
  const lines = [
    ...heading.map((line) => `# ${line}`),
    ...(usesScript(order) && order.program.njs === 'module' ? ['load_module modules/ngx_http_js_module.so;'] : []),
    'worker_processes auto;',
    '# Two descriptors for each connection, the second to the service, and some of its own.',
    `worker_rlimit_nofile ${order.policy.limits.connections * 2 + 64};`,
    'error_log stderr notice;',
    '',
    'events {',
    ...indent([`worker_connections ${order.policy.limits.connections};`]),
    '}',
    '',
    'http {',
    ...indent([
      ...logLines(order),
      '',
      ...tlsLines(order),
      '',
      ...clientLines(order),
      ...limitLines(order),
      '',
      ...mapLines(order),
      '',
      ...strangerServer(order),
      '',
      ...mainServer(order),
      ...plainServer(order),
    ]),
    '}',
  ];
  const text = `${lines.join('\n')}\n`;
  return [{ role: 'configuration', text }, ...(usesScript(order) ? [{ role: 'script', text: renderNjsScript(heading) } as const] : [])];
}

function usesScript({ program, clients }: RenderOrder): boolean {
  return program.njs !== null && clients.kind === 'certified';
}

function logLines(order: RenderOrder): Lines {
  const script = usesScript(order);
  return [
    ...(script ? [`js_import caller from ${order.script!};`, 'js_set $countersign_caller caller.identity;'] : []),
    ...(script ? ['js_set $countersign_forwarded caller.forwarded;', 'js_set $countersign_certificate caller.clientCert;'] : []),
    '# One line of JSON a call; `escape=json` because a caller chooses parts of it.',
    'log_format countersign escape=json \'{"time":"$time_iso8601","address":"$remote_addr","status":$status,"call":"$request",\'',
    '  \'"tls":"$ssl_protocol","name":"$ssl_server_name","verdict":"$ssl_client_verify","serial":"$ssl_client_serial"' +
      `${script ? ',"caller":"$countersign_caller"' : ''}}';`,
    `access_log ${order.log ?? '/var/log/nginx/countersign.log'} countersign;`,
    '# No caller needs the version.',
    'server_tokens off;',
  ];
}

/** At the level of `http`: OpenSSL takes versions and tickets of the first server, before it knows the name that is asked for. */
function tlsLines({ policy, program, staple, clients }: RenderOrder): Lines {
  const { tls } = policy;
  const names = groupNamesOf(program);
  const groups = tls.groups.flatMap((group: TlsGroup) => names.get(group) ?? []);
  const signatures = signatureAlgorithms.filter((name) => isAtLeast(program.openssl!, [3, 5]) || !name.startsWith('mldsa'));
  const versions = (['1.2', '1.3'] as const).filter((version) => version >= tls.minimumVersion && version <= tls.maximumVersion);
  return [
    '# RFC 8996: nothing older than TLS 1.2. At this level, because the versions of a name would come too late in a handshake.',
    `ssl_protocols ${versions.map((version) => `TLSv${version}`).join(' ')};`,
    ...(tls.minimumVersion === '1.2'
      ? [
          '# RFC 9325 section 4.2: forward secrecy and authenticated encryption.',
          `ssl_ciphers ${tls.suites.join(':')};`,
          'ssl_prefer_server_ciphers on;',
        ]
      : []),
    `ssl_ecdh_curve ${groups.join(':')};`,
    '# RFC 9155: no SHA-1 in handshakes, neither ours nor of clients.',
    `ssl_conf_command SignatureAlgorithms ${signatures.join(':')};`,
    `ssl_conf_command ClientSignatureAlgorithms ${signatures.join(':')};`,
    '# RFC 9325 section 4.5: a renegotiation could show another certificate after the verdict.',
    'ssl_conf_command Options NoRenegotiation;',
    '# Keys of tickets would live as long as the process (RFC 9325 section 3.3).',
    'ssl_session_tickets off;',
    ...(clients.kind === 'certified'
      ? [
          '# A resumed session would bring back a client that was revoked since, or enter by another name (CVE-2025-23419).',
          'ssl_session_cache off;',
        ]
      : ['ssl_session_cache shared:countersign:10m;', 'ssl_session_timeout 30m;']),
    ...(staple === null
      ? []
      : ['# RFC 6066 section 8; whoever keeps the file fresh reloads nginx.', 'ssl_stapling on;', `ssl_stapling_file ${staple};`]),
    'ssl_early_data off; # RFC 8446 section 8: it can be replayed.',
  ];
}

function clientLines(order: RenderOrder): Lines {
  const clients = certifiedClients(order);
  if (clients === null) return ['ssl_verify_client off;'];
  return [
    order.mode === 'enforce'
      ? 'ssl_verify_client on; # Without a certificate the answer is 400, and the service sees nothing.'
      : 'ssl_verify_client optional_no_ca; # Asked for, written to the log, nobody refused for an authority that is unknown.',
    `ssl_client_certificate ${clients.trust};`,
    'ssl_verify_depth 3;',
    // With a list OpenSSL finds none for an authority that it does not know, and nginx refuses for that.
    ...(clients.crl?.of !== 'path' || order.mode !== 'enforce'
      ? []
      : [
          '# OpenSSL wants a list of every authority in the path, the root too, or refuses everybody. Reload nginx for a new one.',
          `ssl_crl ${clients.crl.file};`,
        ]),
  ];
}

function limitLines(order: RenderOrder): Lines {
  const { maximumBodyOctets, rates } = order.policy.http;
  return [
    '',
    '# Whoever sends slowly is cut off (slowloris, CWE-400).',
    `client_header_timeout ${timeouts.headSeconds}s;`,
    `client_body_timeout ${timeouts.stalledSeconds}s;`,
    `send_timeout ${timeouts.stalledSeconds}s;`,
    `keepalive_timeout ${timeouts.idleSeconds}s;`,
    'reset_timedout_connection on;',
    'large_client_header_buffers 4 16k;',
    `client_max_body_size ${maximumBodyOctets ?? 0};${maximumBodyOctets === null ? ' # 0: the policy sets no limit.' : ''}`,
    ...(rates.endpoint === null ? [] : [`limit_req_zone $server_port zone=countersign_endpoint:1m rate=${rates.endpoint.perSecond}r/s;`]),
    ...(rates.caller === null || !usesScript(order)
      ? []
      : [`limit_req_zone $countersign_caller zone=countersign_callers:10m rate=${rates.caller.perSecond}r/s;`]),
  ];
}

function mapLines(order: RenderOrder): Lines {
  const { names, policy, mode } = order;
  const pairs = names.flatMap((name) => (policy.http.hostMatchesSni ? [[name, name]] : names.map((host) => [name, host])));
  const callers = certifiedClients(order)?.callers ?? null;
  return [
    '# Names may have 253 octets, more than a bucket takes by default.',
    'server_names_hash_bucket_size 512;',
    'map_hash_bucket_size 2048;',
    '# RFC 9110 section 15.5.20: a call for a host that this connection was not made for is answered with 421.',
    'map "$ssl_server_name|$host" $countersign_misdirected {',
    ...indent(['default 1;', ...pairs.map(([name, host]) => `"${name}|${host}" 0;`)]),
    '}',
    ...(callers === null || mode !== 'enforce' || !usesScript(order)
      ? []
      : [
          '# Patterns, because a map compares words without regard to case, and \\z, because $ ends before a line feed too.',
          'map $countersign_caller $countersign_denied {',
          ...indent(['default 1;', ...callers.map((caller) => `"~^${caller.replaceAll('.', '\\.')}\\z" 0;`)]),
          '}',
        ]),
  ];
}

function listenLines({ program, listen }: RenderOrder, isDefault: boolean): Lines {
  const hasDirective = isAtLeast(program.version, [1, 25, 1]);
  return [
    `listen ${formatAddress(listen)} ssl${hasDirective ? '' : ' http2'}${isDefault ? ' default_server' : ''};`,
    ...(hasDirective ? ['http2 on;'] : []),
  ];
}

function strangerServer(order: RenderOrder): Lines {
  return [
    '# Who asks for another name, or for none, gets no certificate to look at (RFC 9325 section 3.7).',
    'server {',
    ...indent([...listenLines(order, true), 'ssl_reject_handshake on;']),
    '}',
  ];
}

function mainServer(order: RenderOrder): Lines {
  const { names, certificate, key, policy } = order;
  const fields = answerFieldsOf(policy.http);
  const isListed = order.mode === 'enforce' && usesScript(order) && certifiedClients(order)?.callers !== null;
  const { caller, endpoint } = policy.http.rates;
  return [
    'server {',
    ...indent([
      ...listenLines(order, false),
      `server_name ${names.join(' ')};`,
      `ssl_certificate ${certificate};`,
      `ssl_certificate_key ${key};`,
      'if ($countersign_misdirected) { return 421; }',
      ...(isListed ? ['if ($countersign_denied) { return 403; }'] : []),
      ...(endpoint === null ? [] : [`limit_req zone=countersign_endpoint${burstOf(endpoint)};`]),
      ...(caller === null || !usesScript(order) ? [] : [`limit_req zone=countersign_callers${burstOf(caller)};`]),
      ...(endpoint === null && caller === null ? [] : ['limit_req_status 429;']),
      ...(fields.length === 0 ? [] : ['# RFC 6797 section 7.2: on TLS only, and one value, whatever the service says.']),
      ...fields.flatMap(([name, value]) => [`proxy_hide_header ${name};`, `add_header ${name} "${value}" always;`]),
      'location / {',
      ...indent([...forwardLines(order), ...identityLines(order)]),
      '}',
    ]),
    '}',
  ];
}

/** nginx counts what comes beyond the first. */
function burstOf({ burst }: CallRate): string {
  return burst === 1 ? '' : ` burst=${burst - 1} nodelay`;
}

function forwardLines({ upstream }: RenderOrder): Lines {
  return [
    ...(upstream === null ? [] : upstreamLines(upstream)),
    `proxy_connect_timeout ${timeouts.connectSeconds}s;`,
    `proxy_send_timeout ${timeouts.stalledSeconds}s;`,
    `proxy_read_timeout ${timeouts.stalledSeconds}s;`,
    'proxy_http_version 1.1;',
    'proxy_set_header Connection "";',
    'proxy_set_header Host $host;',
    '# Set anew, not appended to: what came under these names is what the caller wrote.',
    'proxy_set_header X-Forwarded-For $remote_addr;',
    'proxy_set_header X-Forwarded-Proto $scheme;',
    'proxy_set_header X-Forwarded-Host $host;',
    'proxy_set_header Forwarded "";',
  ];
}

function upstreamLines(upstream: Upstream): Lines {
  if (upstream.kind === 'plain') return [`proxy_pass http://${formatAddress(upstream.address)};`];
  return [
    `proxy_pass https://${formatAddress(upstream.address)};`,
    '# Without these nginx takes any certificate (RFC 9525 section 6).',
    'proxy_ssl_verify on;',
    'proxy_ssl_verify_depth 3;',
    `proxy_ssl_trusted_certificate ${upstream.trust};`,
    `proxy_ssl_name ${upstream.serverName};`,
    'proxy_ssl_server_name on;',
    'proxy_ssl_protocols TLSv1.2 TLSv1.3;',
    'proxy_ssl_session_reuse off;',
    ...(upstream.own === null
      ? []
      : [`proxy_ssl_certificate ${upstream.own.certificate};`, `proxy_ssl_certificate_key ${upstream.own.key};`]),
  ];
}

/** Every field that tells a caller is set here: to what was proved, or to nothing, with which nginx sends none. */
function identityLines(order: RenderOrder): Lines {
  const told = (field: 'client-cert' | 'x-forwarded-client-cert'): boolean =>
    order.clients.kind === 'certified' && order.mode === 'enforce' && order.policy.http.identityFields.includes(field);
  const script = usesScript(order);
  const forwarded = script ? '$countersign_forwarded' : 'Cert=\\"$ssl_client_escaped_cert\\"';
  return [
    '# Copies that a caller sends are a forged proof (RFC 9440 section 4); underscores could be read as hyphens, and nginx drops those names.',
    `proxy_set_header Client-Cert "${told('client-cert') && script ? '$countersign_certificate' : ''}";`,
    'proxy_set_header Client-Cert-Chain "";',
    `proxy_set_header X-Forwarded-Client-Cert "${told('x-forwarded-client-cert') ? forwarded : ''}";`,
  ];
}

function plainServer({ plain, names, upstream, mode, listen }: RenderOrder): Lines {
  if (plain.kind === 'none') return [];
  const serves = plain.kind === 'serve' && mode !== 'enforce';
  return [
    '',
    serves ? '# In the clear, until the mode is enforce.' : '# In the clear nothing is served: RFC 6797 section 7.2.',
    'server {',
    ...indent([
      `listen ${formatAddress(plain.listen)};`,
      `server_name ${names.join(' ')};`,
      ...(serves && upstream !== null
        ? [
            'location / {',
            ...indent([
              ...upstreamLines(upstream),
              'proxy_set_header Host $host;',
              'proxy_set_header Client-Cert "";',
              'proxy_set_header Client-Cert-Chain "";',
              'proxy_set_header X-Forwarded-Client-Cert "";',
            ]),
            '}',
          ]
        : [`return 308 https://$host${portSuffix(listen)}$request_uri;`]),
    ]),
    '}',
    // Another Host would be sent wherever it says.
    'server {',
    ...indent([`listen ${formatAddress(plain.listen)} default_server;`, 'return 421;']),
    '}',
  ];
}

function indent(lines: Lines): Lines {
  return lines.map((line) => (line === '' ? '' : `  ${line}`));
}
