import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { OcspAnswers } from '../control/ca/ocsp-answers.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { Log } from '../platform/log/logger.ts';
import type { HostPort } from '../platform/network/host-port.ts';
import { serveChallenge } from '../protocols/challenges/serve-challenge.ts';
import { isPublicLogPath, readLogFile } from '../protocols/log/log-files.ts';
import { serveIssuer } from '../protocols/revocation/serve-issuer.ts';
import { serveOcsp } from '../protocols/revocation/serve-ocsp.ts';
import { serveRevocation } from '../protocols/revocation/serve-revocation.ts';
import type { State } from './open-state.ts';

export type PublicListener = AsyncDisposable & { readonly port: number };

/**
 * The plain HTTP address: revocation lists, OCSP and authorities' certificates, which must not need TLS to be asked (RFC 5280 section 8), the log's checkpoint, and the answers of
 * http-01 that prove our names to other CAs. Nothing else, no query.
 */
export async function servePublic({
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
}): Promise<PublicListener> {
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
  const server = createServer(
    { maxHeaderSize: MAXIMUM_HEADER, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        const missing = error instanceof Error && 'code' in error && error.code === 'not-found';
        if (!missing) log('error', 'public request failed', { err: error });
        if (!response.headersSent) response.writeHead(missing ? 404 : 500);
        response.end();
      });
    },
  );
  server.maxConnections = MAXIMUM_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const LOG_PREFIX = '/log/';
const MAXIMUM_HEADER = 8_192;
const REQUEST_TIMEOUT_MS = 10_000;
const MAXIMUM_CONNECTIONS = 2_000;
