import { constants, type KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type HttpListener, openHttpsListener } from '../../platform/network/open-http-listener.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import { readRequestBody } from '../../platform/network/read-request-body.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import type { EstAnswer } from './answer.ts';
import { channelBindingOf } from './channel-binding.ts';
import type { EstDeps } from './deps.ts';
import { operations, parseTarget } from './label.ts';
import { isOurs, textAnswer, toEstAnswer } from './problems.ts';
import { answerEst } from './routes.ts';

/** The server's certificate with the authorities above it, the root last, DER. */
export type EstCredentials = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type EstServer = HttpListener & {
  /** New connections get this certificate; open ones keep theirs. */
  setCredentials(credentials: EstCredentials): void;
};

export type EstServerOptions = {
  readonly listen: HostPort;
  readonly credentials: EstCredentials;
  readonly deps: EstDeps;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

/** Serves EST over HTTPS. */
export async function startEstServer(options: EstServerOptions): Promise<EstServer> {
  const { listen, credentials } = options;
  const listener = await openHttpsListener(
    { listen, limits: LIMITS, tls: tlsOptions(credentials) },
    (request, response) => void serve(options, request, response),
  );
  return { ...listener, setCredentials: (next) => listener.setSecureContext(tlsOptions(next)) };
}

async function serve(options: EstServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { deps, metrics } = options;
  let route = 'none';
  let answer: EstAnswer;
  try {
    const { method = '', url = '', headers } = request;
    const target = parseTarget(deps, url);
    route = `EST ${target.operation}`;
    const socket = request.socket as TLSSocket;
    const call = {
      target,
      authorization: headers.authorization,
      contentType: headers['content-type'] ?? '',
      readBody: () => readText(request),
      peerChain: () => readPeerChain(socket),
      binding: () => channelBindingOf(socket),
    };
    const wanted = operations[target.operation];
    answer =
      method === wanted ? await answerEst(deps, call, options.clock.now()) : textAnswer(405, `expected ${wanted}`, { allow: wanted });
  } catch (error) {
    if (!isOurs(error)) deps.log('error', 'est request failed', { err: error });
    answer = toEstAnswer(error);
  }
  metrics.add('countersign_requests_total', { route, status: String(answer.status) });
  if (response.destroyed) return;
  const length = answer.body === null ? {} : { 'content-length': String(Buffer.byteLength(answer.body)) };
  response.writeHead(answer.status, { ...EVERY_ANSWER, ...length, ...answer.headers });
  response.end(answer.body ?? undefined);
  // What is left of a body that nobody wanted is not waited for.
  if (!request.complete) request.resume();
}

/** @throws body-too-large, input-invalid of a body that ends early */
async function readText(request: IncomingMessage): Promise<string> {
  const body = await readRequestBody(request, MAXIMUM_BODY);
  if (body === null) throw new Problem('body-too-large', `Cannot read request: the body is larger than ${MAXIMUM_BODY} octets`);
  return body.toString('latin1');
}

function tlsOptions({ chain, key }: EstCredentials) {
  return {
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    // Devices, and strongSwan, speak no later version. Forward secrecy and AEAD all the same.
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    // A resumed session would have another tls-unique than the client may think, and clients of EST come once in months.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    // Whoever has a certificate of ours may renew by it; it is judged there. What is named is the roots alone.
    requestCert: true,
    rejectUnauthorized: false,
    ca: chain.slice(-1).map((der) => encodePem('CERTIFICATE', der)),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  } as const;
}

const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');
const EVERY_ANSWER = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;
/** The base64 of a CSR of 48 KiB: a hundred names with the largest key that there is. */
const MAXIMUM_BODY = 65_536;
const LIMITS = { headers: 16_384, requestMs: 30_000, connections: 1_000, keepAliveMs: 30_000 } as const;
const HANDSHAKE_TIMEOUT_MS = 10_000;
