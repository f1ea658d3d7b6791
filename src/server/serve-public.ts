import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OcspAnswers } from '../control/ca/ocsp-answers.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { Log } from '../platform/log/logger.ts';
import type { HostPort } from '../platform/network/host-port.ts';
import { type HttpListener, openHttpListener } from '../platform/network/open-http-listener.ts';
import { serveChallenge } from '../protocols/challenges/serve-challenge.ts';
import { isPublicLogPath, readLogFile } from '../protocols/log/log-files.ts';
import { serveIssuer } from '../protocols/revocation/serve-issuer.ts';
import { serveOcsp } from '../protocols/revocation/serve-ocsp.ts';
import { serveRevocation } from '../protocols/revocation/serve-revocation.ts';
import type { State } from './open-state.ts';

/**
 * The plain HTTP address: revocation lists, OCSP and authorities' certificates, which must not need TLS to be asked (RFC 5280 section 8), the log's checkpoint, and the answers of
 * http-01 that prove our names to other CAs. Nothing else, no query.
 */
export function servePublic({
  state,
  clock,
  log,
  ocsp,
  listen,
}: {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
  readonly ocsp: OcspAnswers;
  readonly listen: HostPort;
}): Promise<HttpListener> {
  const { queries } = state.database;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (await serveOcsp({ ocsp, clock }, request, response)) return;
    request.resume();
    if (await serveChallenge({ queries }, request, response)) return;
    if (await serveIssuer({ queries }, request, response)) return;
    if (await serveRevocation({ queries, clock }, request, response)) return;
    const path = (request.url ?? '').split('?')[0]!;
    const name = path.startsWith(LOG_PREFIX) ? path.slice(LOG_PREFIX.length) : '';
    if (request.method !== 'GET' || !isPublicLogPath(name)) return void response.writeHead(404).end();
    const file = await readLogFile({ queries, verifier: state.verifier }, name);
    response.writeHead(200, { 'content-type': file.contentType, 'cache-control': file.cacheControl }).end(file.body);
  };
  return openHttpListener({ listen, limits: LIMITS }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      const missing = error instanceof Error && 'code' in error && error.code === 'not-found';
      if (!missing) log('error', 'public request failed', { err: error });
      if (!response.headersSent) response.writeHead(missing ? 404 : 500);
      response.end();
    });
  });
}

const LOG_PREFIX = '/log/';
const LIMITS = { headers: 8_192, requestMs: 10_000, connections: 2_000 } as const;
