import type { IncomingMessage, ServerResponse } from 'node:http';
import { cmpMessageLimits } from '../../core/cmp/cmp-limits.ts';
import { MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { type HttpListener, openHttpListener } from '../../platform/network/open-http-listener.ts';
import { readRequestBody } from '../../platform/network/read-request-body.ts';
import { answerMessage } from './answer-message.ts';
import type { CmpDeps } from './deps.ts';
import { isCmpPath, profileOfPath } from './paths.ts';

/** Listens for CMP over HTTP (RFC 9811), of version 1.0 too, in the clear: messages protect themselves. */
export function startCmpServer(options: {
  readonly listen: HostPort;
  readonly deps: CmpDeps;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Promise<HttpListener> {
  const { listen, deps, clock, log, metrics } = options;
  return openHttpListener({ listen, limits: LIMITS }, (request, response) => {
    response.once('close', () => metrics.add('countersign_requests_total', { route: 'CMP', status: String(response.statusCode) }));
    serve(deps, request, response, clock).catch((err: unknown) => {
      log('error', 'cmp request failed', { err });
      response.destroy();
    });
  });
}

/** Refusals of HTTP are for what is no message; whatever is one is answered by 200, its errors too (RFC 9811 section 3.3). */
async function serve(deps: CmpDeps, request: IncomingMessage, response: ServerResponse, clock: Clock): Promise<void> {
  const status = judgeRequest(request);
  if (status !== null) return end(response, status);
  const body = await readRequestBody(request, cmpMessageLimits.maxOctets).catch(() => null);
  if (body === null) return void response.destroy();
  const answer = await answerMessage(deps, { octets: body, profile: profileOfPath(request.url ?? '') }, clock.now());
  if (answer === null) return end(response, 400);
  response.writeHead(200, { 'content-type': MEDIA_TYPE, 'content-length': answer.length, 'cache-control': 'no-store' }).end(answer);
}

/** The status that refuses it before its body is read, or null. */
function judgeRequest({ method, url = '', headers }: IncomingMessage): number | null {
  if (!isCmpPath(url)) return 404;
  if (method !== 'POST') return 405;
  if ((headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase() !== MEDIA_TYPE) return 415;
  const length = headers['content-length'];
  if (length === undefined) return 411;
  return Number(length) > cmpMessageLimits.maxOctets ? 413 : null;
}

/** The rest of the request is read by nobody, so the connection ends. */
function end(response: ServerResponse, status: number): void {
  const allow = status === 405 ? { allow: 'POST' } : {};
  response.writeHead(status, { ...allow, 'content-length': 0, connection: 'close' }).end();
}

const MEDIA_TYPE = 'application/pkixcmp';
const LIMITS = { headers: 8_192, requestMs: MINUTE_MS / 2, connections: 2_000, keepAliveMs: 5 * SECOND_MS } as const;
