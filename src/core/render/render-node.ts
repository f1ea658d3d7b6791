import { answerFieldsOf } from '../policy/http-policy.ts';
import { signatureAlgorithms } from '../policy/tls-parameters.ts';
import { callerFunctions } from './caller-script.ts';
import { listFunctions } from './list-script.ts';
import type { Gap } from './demands.ts';
import { groupNamesOf, isAtLeast } from './proxy-program.ts';
import { headingOf } from './render-heading.ts';
import { certifiedClients, type RenderedFile, type RenderOrder } from './render-order.ts';
import { portSuffix } from './rendered-value.ts';
import { timeouts } from './timeouts.ts';

/** A module of JavaScript that a service of Node loads: its values as JSON, and code that is the same for all. */
export function renderNode(order: RenderOrder, gaps: readonly Gap[]): readonly RenderedFile[] {
  const heading = headingOf(order, gaps).map((line) => `// ${line}`);
  const text = `${heading.join('\n')}
//
//   import { listen } from './countersign-server.mjs';
//   await listen((request, response) => { ... });      // request.countersign is { caller } of who was proved
${CODE_BEFORE}
const settings = ${JSON.stringify(settingsOf(order), null, 2)};

${callerFunctions}
${listFunctions}${CODE}`;
  return [{ role: 'configuration', text }];
}

function settingsOf(order: RenderOrder): object {
  const { policy, program, names, listen, plain, certificate, key, staple, mode } = order;
  const clients = certifiedClients(order);
  const known = groupNamesOf(program);
  const knowsMldsa = isAtLeast(program.version, [24, 5]);
  const { tls, http, limits } = policy;
  return {
    mode,
    names,
    listen,
    plain: plain.kind === 'none' ? null : { ...plain.listen, serves: plain.kind === 'serve' && mode !== 'enforce' },
    location: portSuffix(listen),
    files: { certificate, key, staple, trust: clients?.trust ?? null, crl: clients?.crl?.file ?? null },
    crlOf: clients?.crl?.of ?? null,
    callers: clients?.callers ?? null,
    asksClients: clients !== null,
    hostMatchesSni: http.hostMatchesSni,
    identityFields: clients === null ? [] : http.identityFields,
    answerFields: answerFieldsOf(http),
    maximumBodyOctets: http.maximumBodyOctets,
    maximumConnections: limits.connections,
    tls: {
      minVersion: `TLSv${tls.minimumVersion}`,
      maxVersion: `TLSv${tls.maximumVersion}`,
      ciphers: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', ...tls.suites].join(':'),
      ecdhCurve: tls.groups.flatMap((group) => known.get(group) ?? []).join(':'),
      sigalgs: signatureAlgorithms.filter((name) => knowsMldsa || !name.startsWith('mldsa')).join(':'),
    },
    timeouts: { headMs: timeouts.headSeconds * 1_000, wholeMs: timeouts.wholeSeconds * 1_000, idleMs: timeouts.idleSeconds * 1_000 },
  };
}

const CODE_BEFORE = `import { constants, createHash, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import { once } from 'node:events';
`;

const CODE = `
function readLists(file) {
  return readFileSync(file, 'utf8').match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? [];
}

let lists = [];
function loadLists() {
  if (settings.crlOf !== 'leaf') return;
  lists = readLists(settings.files.crl).map((pem) => readList(Buffer.from(pem.replaceAll(/-----[^-]+-----|\\s/g, ''), 'base64')));
}
loadLists();

// What node:https and node:tls take. Read anew at each call, so that a renewed certificate and a new list count.
export function tlsOptions() {
  const { certificate, key, trust, crl } = settings.files;
  return {
    // RFC 8996 and RFC 9325 section 4: versions, suites, groups. RFC 9155: no SHA-1 in handshakes.
    ...settings.tls,
    honorCipherOrder: true,
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ...(trust === null ? {} : { ca: readFileSync(trust) }),
    // OpenSSL wants a list of every authority in the path, the root too, or refuses everybody; lists of the issuing one alone are read below.
    ...(settings.crlOf === 'path' ? { crl: readLists(crl) } : {}),
    // Asked for and verified; in observe and permissive the verdict is logged and nobody refused.
    requestCert: settings.asksClients,
    rejectUnauthorized: settings.asksClients && settings.mode === 'enforce',
    // A renegotiation could show another certificate after the verdict (RFC 9325 section 4.5). Node resumes a client that was revoked since, and calls it
    // authorized, so where clients are certified there are no tickets.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (settings.asksClients ? constants.SSL_OP_NO_TICKET : 0),
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: settings.timeouts.headMs,
    // No handshake for another name (RFC 9325 section 3.7).
    SNICallback: (name, answer) => (settings.names.includes(name.toLowerCase()) ? answer(null, null) : answer(new Error('unknown server name'))),
  };
}

// What was found of connections: good until the lists are read anew, or one of them ends.
const proved = new WeakMap();

// The caller that was proved on this connection, or null.
export function provedCaller(socket) {
  if (!settings.asksClients || !socket.authorized) return null;
  const known = proved.get(socket);
  if (known !== undefined && known.lists === lists && known.until > Date.now()) return known.caller;
  const certificate = socket.getPeerX509Certificate();
  const isGood = certificate !== undefined && (settings.crlOf !== 'leaf' || isUnrevoked(certificate));
  const caller = isGood ? { der: certificate.raw, id: callerOf(certificate.raw) } : null;
  proved.set(socket, { lists, until: Math.min(Infinity, ...lists.map((list) => list.nextUpdate)), caller });
  return caller;
}

function verdictOf(socket) {
  if (!socket.authorized) return socket.authorizationError ?? null;
  return settings.asksClients && provedCaller(socket) === null ? 'revoked, or no list that says it is not' : 'ok';
}

// The status that a call is refused with, or null.
export function refusalOf(request) {
  const host = (request.headers.host ?? '').replace(/:[0-9]+$/, '').toLowerCase();
  const name = String(request.socket.servername || '').toLowerCase();
  // RFC 9110 section 15.5.20.
  if (!settings.names.includes(host) || !settings.names.includes(name) || (settings.hostMatchesSni && host !== name)) return 421;
  const length = Number(request.headers['content-length'] ?? 0);
  if (settings.maximumBodyOctets !== null && length > settings.maximumBodyOctets) return 413;
  if (!settings.asksClients || settings.mode !== 'enforce') return null;
  const caller = provedCaller(request.socket);
  return caller === null || (settings.callers !== null && !settings.callers.includes(caller.id)) ? 403 : null;
}

// Copies that a caller sends are a forged proof (RFC 9440 section 4), with underscores too; no proxy stands before this that could tell of another address.
const forged = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert', 'forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];

function strip(request) {
  const isForged = (name) => forged.includes(name.toLowerCase().replaceAll('_', '-'));
  for (const name of Object.keys(request.headers)) if (isForged(name)) delete request.headers[name];
  const { rawHeaders } = request;
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) if (isForged(rawHeaders[i])) rawHeaders.splice(i, 2);
}

function tell(request) {
  const caller = provedCaller(request.socket);
  request.countersign = { caller: caller === null || caller.id === '' ? null : caller.id };
  if (caller === null) return;
  const hash = createHash('sha256').update(caller.der).digest('hex');
  const fields = {
    'client-cert': \`:\${caller.der.toString('base64')}:\`,
    'x-forwarded-client-cert': caller.id === '' ? \`Hash=\${hash}\` : \`Hash=\${hash};URI=\${caller.id}\`,
  };
  for (const name of settings.identityFields) if (fields[name] !== undefined) request.headers[name] = fields[name];
}

// A body that was not announced is counted as it comes in, whoever reads it, and ends the connection when it is too long.
function limit(request, response) {
  const push = request.push;
  let octets = 0;
  request.push = (chunk, ...more) => {
    octets += chunk === null ? 0 : chunk.length;
    if (octets <= settings.maximumBodyOctets) return push.call(request, chunk, ...more);
    if (!response.headersSent) response.writeHead(413, { connection: 'close' }).end(() => request.socket.destroySoon());
    else request.socket.destroy();
    return false;
  };
}

function log(request, status) {
  const { socket } = request;
  console.log(JSON.stringify({ time: new Date().toISOString(), address: socket.remoteAddress, status, call: \`\${request.method} \${request.url}\`,
    name: socket.servername || null, verdict: verdictOf(socket), caller: request.countersign?.caller ?? null }));
}

// Serves \`handler\` behind all of the above; resolves when it listens, with what closes it.
export async function listen(handler) {
  const server = createServer({ ...tlsOptions(), maxHeaderSize: 16_384, requireHostHeader: true, insecureHTTPParser: false,
    joinDuplicateHeaders: false });
  server.maxConnections = settings.maximumConnections;
  // Whoever sends slowly is cut off (slowloris, CWE-400).
  server.headersTimeout = settings.timeouts.headMs;
  server.requestTimeout = settings.timeouts.wholeMs;
  server.keepAliveTimeout = settings.timeouts.idleMs;
  server.on('request', (request, response) => {
    strip(request);
    // On TLS only, and one value (RFC 6797 section 7.2).
    for (const [name, value] of settings.answerFields) response.setHeader(name, value);
    const status = refusalOf(request);
    if (status === null) tell(request);
    log(request, status);
    if (status !== null) {
      response.writeHead(status, { connection: 'close' }).end();
      return;
    }
    if (settings.maximumBodyOctets !== null) limit(request, response);
    handler(request, response);
  });
  // Without a server name SNICallback is not asked.
  server.on('secureConnection', (socket) => socket.servername || socket.destroy());
  const { staple } = settings.files;
  if (staple !== null) server.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, readFileSync(staple)));
  const reload = () => {
    loadLists();
    server.setSecureContext(tlsOptions());
  };
  process.on('SIGHUP', reload);
  const servers = [server, ...(settings.plain === null ? [] : [plainServer(handler)])];
  server.listen(settings.listen.port, settings.listen.host);
  servers[1]?.listen(settings.plain.port, settings.plain.host);
  await Promise.all(servers.map((one) => once(one, 'listening')));
  return {
    close() {
      process.off('SIGHUP', reload);
      for (const one of servers) {
        one.close();
        one.closeAllConnections();
      }
    },
  };
}

function plainServer(handler) {
  return createPlainServer({ maxHeaderSize: 16_384, headersTimeout: settings.timeouts.headMs }, (request, response) => {
    strip(request);
    const host = (request.headers.host ?? '').replace(/:[0-9]+$/, '').toLowerCase();
    if (!settings.names.includes(host)) response.writeHead(421).end();
    else if (settings.plain.serves) {
      request.countersign = { caller: null };
      handler(request, response);
    } else response.writeHead(308, { location: \`https://\${host}\${settings.location}\${request.url}\`, connection: 'close' }).end();
  });
}
`;
