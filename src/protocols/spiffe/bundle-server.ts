import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OwnBundle } from '../../control/federation/own-bundle.ts';
import { REFRESH_HINT_MS } from '../../control/federation/own-bundle.ts';
import { MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { type HttpListener, openHttpsListener } from '../../platform/network/open-http-listener.ts';

/** PEM, leaf first. */
export type BundleCredentials = { readonly cert: string; readonly key: string | Buffer };

export type BundleServer = HttpListener & {
  /** New connections get this certificate. @throws the error of OpenSSL for a key that is not the certificate's; the old one stays */
  setCredentials(credentials: BundleCredentials): void;
};

/**
 * A SPIFFE bundle endpoint (SPIFFE Federation section 5): one document at `/`, for anybody, who is not asked for a certificate. Whoever may
 * not know our authorities could read them from any handshake of ours.
 */
export async function startBundleServer(options: {
  readonly listen: HostPort;
  readonly credentials: BundleCredentials;
  readonly bundle: OwnBundle;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Promise<BundleServer> {
  const { listen, credentials, log, metrics } = options;
  const listener = await openHttpsListener({ listen, limits: LIMITS, tls: { ...credentials, ...TLS } }, (request, response) => {
    request.resume();
    response.once('close', () =>
      metrics.add('countersign_requests_total', { route: 'SPIFFE bundle', status: String(response.statusCode) }),
    );
    answer(options, request, response).catch((error: unknown) => {
      log('error', 'bundle request failed', { error });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  return { ...listener, setCredentials: (next) => listener.setSecureContext({ ...next, ...TLS }) };
}

async function answer(
  { bundle, clock }: { readonly bundle: OwnBundle; readonly clock: Clock },
  { method, url, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
  if (url !== '/') return void response.writeHead(404).end();
  const published = await bundle.read(clock.now());
  if (published === null) return void response.writeHead(503, { 'cache-control': 'no-store' }).end();
  const { octets, etag } = published;
  const common = { etag, 'cache-control': CACHING, 'x-content-type-options': 'nosniff' };
  if (headers['if-none-match'] === etag) return void response.writeHead(304, common).end();
  response.writeHead(200, { ...common, 'content-type': 'application/json', 'content-length': octets.length });
  response.end(method === 'HEAD' ? undefined : octets);
}

const TLS = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION, handshakeTimeout: 10 * SECOND_MS } as const;
/** A cache may not hold up what the hint promises. */
const CACHING = `public, max-age=${Math.min(REFRESH_HINT_MS, MINUTE_MS) / SECOND_MS}`;
/** A handful of trust domains poll every few minutes. */
const LIMITS = { headers: 8_192, requestMs: 10_000, connections: 500, keepAliveMs: 5_000 } as const;
