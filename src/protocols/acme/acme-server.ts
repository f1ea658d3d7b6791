import { constants, type KeyObject } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Instant } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type HttpListener, openHttpsListener } from '../../platform/network/open-http-listener.ts';
import { readRequestBody } from '../../platform/network/read-request-body.ts';
import { type AcmeAnswer, linkTo } from './answer.ts';
import type { AcmeDeps } from './deps.ts';
import { AcmeProblem, malformed, toAcmeProblem, toDocument } from './problems.ts';
import { type AcmeRequest, answerAcme } from './routes.ts';

/** The server's certificate with the authorities between it and the root, DER. */
export type AcmeCredentials = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type AcmeServer = HttpListener & {
  /** New connections get this certificate; open ones keep theirs. */
  setCredentials(credentials: AcmeCredentials): void;
};

/** Listens, and serves nothing before `depsOf` has told what: the external URL may need the port that the system chose. */
export async function startAcmeServer(options: {
  readonly listen: HostPort;
  readonly credentials: AcmeCredentials;
  readonly depsOf: (port: number) => AcmeDeps;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<AcmeServer> {
  const { listen, credentials, clock, log } = options;
  let deps: AcmeDeps | null = null;
  const listener = await openHttpsListener(
    { listen, limits: LIMITS, tls: tlsOptions(credentials) },
    (request, response) => void (deps === null ? response.writeHead(503).end() : serve(deps, request, response, { clock, log })),
  );
  deps = options.depsOf(listener.port);
  return { ...listener, setCredentials: (next) => listener.setSecureContext(tlsOptions(next)) };
}

async function serve(
  deps: AcmeDeps,
  request: IncomingMessage,
  response: ServerResponse,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const { method = '' } = request;
  let answer: AcmeAnswer;
  try {
    answer = method === 'OPTIONS' ? PREFLIGHT : await answerAcme(deps, await readRequest(request), clock.now());
  } catch (error) {
    const problem = toAcmeProblem(error);
    if (problem.type === 'serverInternal') log('error', 'acme request failed', { err: problem.options.cause ?? problem });
    if (problem.options.reason !== undefined) await logRefusal(deps, problem, clock.now());
    answer = problemAnswer(problem);
  }
  if (response.destroyed) return;
  send(deps, response, { method, target: request.url ?? '', answer, now: clock.now() });
}

/** What tells the outside no reason tells the log, where it is counted with others of its kind. */
async function logRefusal({ refusals, log }: AcmeDeps, { type, options: { reason } }: AcmeProblem, now: Instant): Promise<void> {
  log('warn', 'acme.refused', { type, reason });
  await refusals
    .record({ route: 'acme binding', code: 'token-refused', principal: null }, now)
    .catch((err: unknown) => void log('error', 'refusal could not be logged', { err }));
}

/** RFC 8555 section 6.5: a fresh nonce on every answer to a POST, on errors above all. Section 7.1: the index on all but the directory. */
function send(
  { nonces, urls }: AcmeDeps,
  response: ServerResponse,
  { method, target, answer, now }: { readonly method: string; readonly target: string; readonly answer: AcmeAnswer; readonly now: number },
): void {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const headers: Record<string, string | number | readonly string[]> = { ...EVERY_ANSWER, ...answer.headers };
  if (path !== '/acme/directory') headers['link'] = [linkTo(urls.directory, 'index')].concat(answer.headers['link'] ?? []);
  if (method === 'POST' || path === '/acme/new-nonce') headers['replay-nonce'] = nonces.issue(now);
  if (answer.body !== null) headers['content-length'] = Buffer.byteLength(answer.body);
  response.writeHead(answer.status, headers as OutgoingHttpHeaders);
  response.end(method === 'HEAD' || answer.body === null ? undefined : answer.body);
}

function problemAnswer(problem: AcmeProblem): AcmeAnswer {
  return {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json', ...problem.options.headers },
    body: JSON.stringify(toDocument(problem)),
  };
}

/** @throws malformed with 413 when the body is larger than any request of ours can be */
async function readRequest(request: IncomingMessage): Promise<AcmeRequest> {
  const { method = '', url = '', headers, socket } = request;
  const body = await readRequestBody(request, MAXIMUM_BODY);
  if (body === null) throw malformed(`the body is larger than ${MAXIMUM_BODY} octets`, { status: 413, headers: { connection: 'close' } });
  return {
    method,
    target: url,
    contentType: headers['content-type'] ?? '',
    body: body.toString('utf8'),
    remoteAddress: socket.remoteAddress ?? '',
  };
}

function tlsOptions({ chain, key }: AcmeCredentials) {
  return {
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    // Clients of old systems still speak 1.2, and what they fetch is signed.
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  } as const;
}

/** Unless an answer says otherwise; RFC 8555 section 6.1: browsers of any origin. */
const EVERY_ANSWER = {
  'cache-control': 'no-store',
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'Link, Location, Replay-Nonce, Retry-After',
  'x-content-type-options': 'nosniff',
} as const;
const PREFLIGHT: AcmeAnswer = {
  status: 204,
  headers: {
    'access-control-allow-methods': 'GET, HEAD, POST',
    'access-control-allow-headers': 'Content-Type',
    'access-control-max-age': '86400',
  },
  body: null,
};
/** A CSR of a hundred names with an RSA 4096 key, twice in base64. */
const MAXIMUM_BODY = 65_536;
const LIMITS = { headers: 16_384, requestMs: 30_000, connections: 2_000, keepAliveMs: 30_000 } as const;
const HANDSHAKE_TIMEOUT_MS = 10_000;
