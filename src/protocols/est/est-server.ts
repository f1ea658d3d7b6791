import { constants, type KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { holdSockets } from '../../platform/network/hold-sockets.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import type { EstAnswer } from './answer.ts';
import { channelBindingOf } from './channel-binding.ts';
import type { EstDeps } from './deps.ts';
import { operations, parseTarget } from './label.ts';
import { isOurs, textAnswer, toEstAnswer } from './problems.ts';
import { answerEst } from './routes.ts';

/** The server's certificate with the authorities above it, the root last, DER. */
export type EstCredentials = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type EstServer = AsyncDisposable & {
  readonly port: number;
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
  const server = createServer(
    { ...tlsOptions(credentials), maxHeaderSize: MAXIMUM_HEADERS, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => void serve(options, request, response),
  );
  const sockets = holdSockets(server);
  server.maxConnections = MAXIMUM_CONNECTIONS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    setCredentials: (next) => server.setSecureContext(tlsOptions(next)),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      sockets.destroyAll();
      await closed;
    },
  };
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
      readBody: () => readBody(request),
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
function readBody(request: IncomingMessage): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAXIMUM_BODY) chunks.push(chunk);
    else reject(new Problem('body-too-large', `Cannot read request: the body is larger than ${MAXIMUM_BODY} octets`));
  });
  request.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
  request.on('error', reject);
  request.on('close', () => {
    if (!request.complete) reject(new Problem('input-invalid', 'Cannot read request: the connection ended within the body'));
  });
  return promise;
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
const MAXIMUM_HEADERS = 16_384;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAXIMUM_CONNECTIONS = 1_000;
