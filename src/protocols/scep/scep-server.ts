import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../../core/problems/problem.ts';
import { decodeBase64 } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type HttpListener, openHttpListener } from '../../platform/network/open-http-listener.ts';
import { readRequestBody } from '../../platform/network/read-request-body.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import type { ScepDeps } from './deps.ts';
import { answerMessage, caCaps, caCert, type ScepAnswer, unknownOperation } from './operations.ts';

export type ScepServerOptions = {
  readonly listen: HostPort;
  readonly deps: ScepDeps;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

/** Serves SCEP over plain HTTP, as RFC 8894 section 4 has it: every message is signed, and what is secret in it encrypted. */
export function startScepServer(options: ScepServerOptions): Promise<HttpListener> {
  return openHttpListener({ listen: options.listen, limits: LIMITS }, (request, response) => void serve(options, request, response));
}

async function serve({ deps, clock, metrics }: ScepServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let route = 'none';
  let answer: ScepAnswer;
  try {
    const { path, query } = targetOf(request.url ?? '');
    if (!PATH.test(path)) throw new Problem('not-found', 'Cannot find resource: expected /scep');
    const operation = query.get('operation') ?? '';
    route = `SCEP ${(operations as readonly string[]).includes(operation) ? operation : 'unknown'}`;
    answer = await answerOperation(deps, { request, operation, query }, clock.now());
  } catch (error) {
    answer = faultAnswer(deps, error);
  }
  metrics.add('countersign_requests_total', { route, status: String(answer.status) });
  if (response.destroyed) return;
  const close = answer.status === 413 ? { connection: 'close' } : {};
  response.writeHead(answer.status, {
    ...EVERY_ANSWER,
    ...close,
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
  if (!request.complete) request.resume();
}

async function answerOperation(
  deps: ScepDeps,
  { request, operation, query }: { readonly request: IncomingMessage; readonly operation: string; readonly query: URLSearchParams },
  now: number,
): Promise<ScepAnswer> {
  const { method = '' } = request;
  if (method !== 'GET' && !(method === 'POST' && operation === 'PKIOperation')) return text(405, 'expected GET, or POST of a PKIOperation');
  switch (operation) {
    case 'GetCACaps':
      return caCaps(deps, now);
    case 'GetCACert':
      return caCert(deps);
    case 'PKIOperation':
      return answerMessage(deps, method === 'POST' ? await readMessage(request) : messageOf(query), now);
    default:
      return unknownOperation();
  }
}

/** RFC 8894 section 4.1: base64 in the query; a plus that was not escaped has become a space. @throws der-malformed */
function messageOf(query: URLSearchParams): Uint8Array {
  const der = decodeBase64((query.get('message') ?? '').replaceAll(' ', '+'));
  if (der === null) throw new Problem('der-malformed', 'Cannot read request: message is not base64');
  return der;
}

function targetOf(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const mark = url.indexOf('?');
  return mark < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}

function faultAnswer({ log }: ScepDeps, error: unknown): ScepAnswer {
  if (!(error instanceof Problem) || error.status >= 500) {
    log('error', 'scep request failed', { err: error });
    return text(500, 'something failed inside');
  }
  log('warn', 'scep.refused', { code: error.code, reason: error.message });
  return text(error.status, error.code);
}

function text(status: number, line: string): ScepAnswer {
  return { status, type: 'text/plain', body: `${line}\n` };
}

/** @throws body-too-large, input-invalid of a body that ends early */
async function readMessage(request: IncomingMessage): Promise<Uint8Array> {
  const body = await readRequestBody(request, MAXIMUM_BODY);
  if (body === null) throw new Problem('body-too-large', `Cannot read request: the body is larger than ${MAXIMUM_BODY} octets`);
  return new Uint8Array(body);
}

const operations = ['GetCACaps', 'GetCACert', 'PKIOperation'] as const;
/** Devices often have the second one built in. */
const PATH = /^\/scep(?:\/pkiclient\.exe)?$/;
const EVERY_ANSWER = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;
/** A CSR with the largest RSA key and a hundred names, encrypted and signed with a certificate of the same key, takes a quarter of it. */
const MAXIMUM_BODY = 65_536;
/** The headers hold a message in the query. */
const LIMITS = { headers: 32_768, requestMs: 30_000, connections: 1_000 } as const;
