import { answerFieldsOf, type CallRate } from '../policy/http-policy.ts';
import { signatureAlgorithms } from '../policy/tls-parameters.ts';
import { renderLuaScript } from './caller-script.ts';
import type { Gap } from './demands.ts';
import { groupNamesOf, isAtLeast } from './proxy-program.ts';
import { headingOf } from './render-heading.ts';
import { certifiedClients, type RenderedFile, type RenderedLists, type RenderOrder, type Upstream } from './render-order.ts';
import { formatAddress, portSuffix, refused, type RenderedPath } from './rendered-value.ts';
import { timeouts } from './timeouts.ts';

type Lines = readonly string[];

/** A whole haproxy.cfg, and the script in Lua that it loads. @throws input-invalid for a key or staple where HAProxy does not look for it */
export function renderHaproxy(order: RenderOrder, gaps: readonly Gap[]): readonly RenderedFile[] {
  const heading = headingOf(order, gaps);
  const lines = [
    ...heading.map((line) => `# ${line}`),
    'global',
    ...indent(globalLines(order)),
    '',
    'defaults',
    ...indent(defaultLines()),
    '',
    'frontend secure',
    ...indent([
      ...bindLines(order),
      `maxconn ${order.policy.limits.connections}`,
      ...logLines(order),
      ...hostLines(order),
      ...callerLines(order),
      ...limitLines(order),
      ...fieldLines(order),
      'default_backend service',
    ]),
    ...plainFrontend(order),
    '',
    'backend service',
    ...indent([serverLine(order.upstream!)]),
    ...rateTables(order),
  ];
  const script = order.clients.kind === 'certified' ? [{ role: 'script', text: renderLuaScript(heading) } as const] : [];
  return [{ role: 'configuration', text: `${lines.join('\n')}\n` }, ...script];
}

function globalLines({ policy, clients, script }: RenderOrder): Lines {
  return [
    'log stdout format raw daemon',
    '# Each takes two descriptors: without so many HAProxy does not start (LimitNOFILE).',
    `maxconn ${policy.limits.connections}`,
    '# A server of TLS that is named without its authority is an error, not a risk.',
    'ssl-server-verify required',
    ...(clients.kind === 'anonymous'
      ? []
      : ['# A resumed session would bring back a client that was revoked since.', 'tune.ssl.cachesize 0', `lua-load ${script!}`]),
  ];
}

function defaultLines(): Lines {
  return [
    'mode http',
    'log global',
    '# Whoever sends slowly is cut off (slowloris, CWE-400). A head is at most one buffer, 16 KiB.',
    `timeout http-request ${timeouts.headSeconds}s`,
    `timeout client ${timeouts.stalledSeconds}s`,
    `timeout server ${timeouts.stalledSeconds}s`,
    `timeout connect ${timeouts.connectSeconds}s`,
    `timeout queue ${timeouts.connectSeconds}s`,
    `timeout http-keep-alive ${timeouts.idleSeconds}s`,
  ];
}

function bindLines(order: RenderOrder): Lines {
  const { policy, program, listen, certificate, key, staple, mode } = order;
  const { tls } = policy;
  const clients = certifiedClients(order);
  checkBeside('--key', key, certificate, '.key');
  if (staple !== null && staple !== `${certificate}.ocsp`) throw refused('--staple for haproxy', staple, `${certificate}.ocsp`);
  const names = groupNamesOf(program);
  const signatures = signatureAlgorithms.filter((name) => isAtLeast(program.openssl!, [3, 5]) || !name.startsWith('mldsa')).join(':');
  // 3 is X509_V_ERR_UNABLE_TO_GET_CRL: ignored of authorities alone, never of the client itself.
  const leafOnly = clients?.crl?.of === 'leaf' ? ' ca-ignore-err 3' : '';
  const words = [
    `bind ${formatAddress(listen)} ssl crt ${certificate} alpn h2,http/1.1`,
    `ssl-min-ver TLSv${tls.minimumVersion} ssl-max-ver TLSv${tls.maximumVersion}`,
    ...(tls.minimumVersion === '1.2' ? [`ciphers ${tls.suites.join(':')}`] : []),
    `curves ${tls.groups.flatMap((group) => names.get(group) ?? []).join(':')}`,
    ...(isAtLeast(program.version, [2, 8]) ? [`sigalgs ${signatures} client-sigalgs ${signatures}`] : []),
    'strict-sni no-tls-tickets',
    ...(clients === null
      ? []
      : [
          `ca-file ${clients.trust} ${mode === 'enforce' ? `verify required${leafOnly}` : 'verify optional ca-ignore-err all crt-ignore-err all'}`,
        ]),
    ...(clients === null || clients.crl === null ? [] : [`crl-file ${clients.crl.file}`]),
  ];
  return [
    '# RFC 8996 and 9325 section 4: versions, suites and groups of the policy. strict-sni: no handshake for another name or for none. Tickets are off, because',
    '# their keys would live as long as the process. 0-RTT is off by default; it can be replayed (RFC 8446 section 8).',
    ...(clients === null || clients.crl === null ? [] : [`# ${listRemark(clients.crl)} Reload HAProxy for a new one.`]),
    words.join(' '),
  ];
}

function listRemark({ of }: RenderedLists): string {
  return of === 'path'
    ? 'OpenSSL wants a list of every authority in the path, the root too, or refuses everybody.'
    : 'ca-ignore-err 3: no list is wanted of the authorities above the one that issued the certificate; of that one it is.';
}

/** HAProxy finds a key by the name of its certificate's file. */
function checkBeside(what: string, key: RenderedPath, certificate: RenderedPath, end: string): void {
  if (key !== certificate && key !== `${certificate}${end}`)
    throw refused(`${what} for haproxy`, key, `${certificate} itself or ${certificate}${end}, where it looks for it`);
}

function logLines(order: RenderOrder): Lines {
  const verdict =
    order.clients.kind === 'certified'
      ? ',"verdict":%[ssl_c_err],"authorities":%[ssl_c_ca_err],"serial":"%[ssl_c_serial,hex]","caller":"%[var(sess.claimed),json(utf8s)]"'
      : '';
  return [
    `log-format '{"time":"%tr","address":"%ci","status":%ST,"call":"%[capture.req.method,json(utf8s)] %[capture.req.uri,json(utf8s)]","tls":"%sslv","name":"%[ssl_fc_sni,json(utf8s)]"${verdict}}'`,
  ];
}

function hostLines({ names, policy }: RenderOrder): Lines {
  return [
    '# RFC 9110 section 15.5.20: a call for a host that this connection was not made for is answered with 421.',
    'http-request set-var(txn.host) req.hdr(host),field(1,:),lower',
    ...names.flatMap((name) => [`acl is_served var(txn.host) -m str ${name}`, `acl is_named ssl_fc_sni,lower -m str ${name}`]),
    `${MISDIRECTED} unless is_served is_named`,
    ...(policy.http.hostMatchesSni ? [`${MISDIRECTED} unless { ssl_fc_sni,lower,strcmp(txn.host) eq 0 }`] : []),
  ];
}

function callerLines(order: RenderOrder): Lines {
  const clients = certifiedClients(order);
  const told = order.policy.http.identityFields;
  // In enforce a handshake ends well only if nothing but the missing list of an authority was ignored; in observe everything is, and nothing may be.
  const proved = order.mode === 'enforce' ? '{ ssl_c_used } { ssl_c_err 0 }' : '{ ssl_c_used } { ssl_c_verify 0 }';
  return [
    '# Copies that a caller sends are a forged proof (RFC 9440 section 4), with underscores too, which services read as hyphens.',
    'http-request del-header ^(client[-_]cert([-_]chain)?|x[-_]forwarded[-_]client[-_]cert)$ -m reg',
    ...(clients === null
      ? []
      : [
          'http-request set-var(sess.claimed) lua.countersign_caller if { ssl_c_used } !{ var(sess.claimed) -m found }',
          `http-request set-var(sess.caller) var(sess.claimed) if ${proved}`,
        ]),
    ...(clients === null || clients.callers === null || order.mode !== 'enforce'
      ? []
      : [
          '# -m str compares letter by letter. With no caller on the list nobody is let in.',
          ...clients.callers.map((caller) => `acl is_allowed var(sess.caller) -m str ${caller}`),
          `http-request deny deny_status 403${clients.callers.length === 0 ? '' : ' unless is_allowed'}`,
        ]),
    ...(clients !== null && told.includes('client-cert')
      ? [
          '# A byte sequence (RFC 9440 section 2.2, RFC 9651 section 3.3.5).',
          `http-request set-header Client-Cert ":%[ssl_c_der,base64]:" if ${proved}`,
        ]
      : []),
    ...(clients !== null && told.includes('x-forwarded-client-cert')
      ? [`http-request set-header X-Forwarded-Client-Cert "Hash=%[ssl_c_der,sha2(256),hex,lower];URI=%[var(sess.caller)]" if ${proved}`]
      : []),
  ];
}

function limitLines({ policy, clients }: RenderOrder): Lines {
  const { maximumBodyOctets, rates } = policy.http;
  return [
    ...(maximumBodyOctets === null ? [] : [`http-request deny deny_status 413 if { req.body_size gt ${maximumBodyOctets} }`]),
    // The caller first: what is refused to one takes nothing from the rest.
    ...(rates.caller === null || clients.kind === 'anonymous'
      ? []
      : [
          'http-request track-sc1 var(sess.caller) table caller_rate',
          `http-request deny deny_status 429 if { sc_http_req_rate(1) gt ${rates.caller.burst} }`,
        ]),
    ...(rates.endpoint === null
      ? []
      : [
          'http-request track-sc0 int(1) table endpoint_rate',
          `http-request deny deny_status 429 if { sc_http_req_rate(0) gt ${rates.endpoint.burst} }`,
        ]),
  ];
}

function fieldLines({ policy }: RenderOrder): Lines {
  return [
    '# Set anew, not appended to: what came under these names is what the caller wrote.',
    'http-request set-header X-Forwarded-For %[src]',
    'http-request set-header X-Forwarded-Proto https',
    'http-request set-header X-Forwarded-Host %[var(txn.host)]',
    'http-request del-header Forwarded',
    'http-response del-header Server',
    ...answerFieldsOf(policy.http).map(([name, value]) => `http-after-response set-header ${name} "${value}"`),
  ];
}

function plainFrontend({ plain, names, listen, mode }: RenderOrder): Lines {
  if (plain.kind === 'none') return [];
  const serves = plain.kind === 'serve' && mode !== 'enforce';
  return [
    '',
    serves ? '# In the clear, until the mode is enforce.' : '# In the clear nothing is served: RFC 6797 section 7.2.',
    'frontend clear',
    ...indent([
      `bind ${formatAddress(plain.listen)}`,
      'http-request set-var(txn.host) req.hdr(host),field(1,:),lower',
      ...names.map((name) => `acl is_served var(txn.host) -m str ${name}`),
      `${MISDIRECTED} unless is_served`,
      ...(serves
        ? ['http-request del-header ^(client[-_]cert([-_]chain)?|x[-_]forwarded[-_]client[-_]cert)$ -m reg', 'default_backend service']
        : [`http-request redirect code 308 location https://%[var(txn.host)]${portSuffix(listen)}%[pathq]`]),
    ]),
  ];
}

function serverLine(upstream: Upstream): string {
  if (upstream.kind === 'plain') return `server service ${formatAddress(upstream.address)}`;
  const { address, serverName, trust, own } = upstream;
  if (own !== null) checkBeside('--upstream-key', own.key, own.certificate, '.key');
  return [
    `server service ${formatAddress(address)} ssl verify required ca-file ${trust} verifyhost ${serverName} sni str(${serverName})`,
    'alpn http/1.1 ssl-min-ver TLSv1.2 no-tls-tickets',
    ...(own === null ? [] : [`crt ${own.certificate}`]),
  ].join(' ');
}

function rateTables({ policy, clients }: RenderOrder): Lines {
  const { caller, endpoint } = policy.http.rates;
  return [
    ...(endpoint === null ? [] : tableLines('endpoint_rate', 'integer size 1', endpoint)),
    ...(caller === null || clients.kind === 'anonymous' ? [] : tableLines('caller_rate', 'string len 2048 size 10k', caller)),
  ];
}

/** A window so long that the burst fills it at the rate that goes on. */
function tableLines(name: string, kind: string, { perSecond, burst }: CallRate): Lines {
  return ['', `backend ${name}`, ...indent([`stick-table type ${kind} expire 1m store http_req_rate(${Math.ceil(burst / perSecond)}s)`])];
}

function indent(lines: Lines): Lines {
  return lines.map((line) => (line === '' ? '' : `  ${line}`));
}

const MISDIRECTED = 'http-request return status 421 content-type text/plain string "Misdirected Request"';
