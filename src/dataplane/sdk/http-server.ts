import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { challengeFor } from '../tls/bound-tokens.ts';
import type { CallRequest } from '../tls/call-request.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { CallWatch } from './call-watch.ts';
import type { Admitted } from './identity-of.ts';
import { type Guard, guardServer } from './guard-server.ts';
import type { ServicePorts } from './service-ports.ts';

export type HttpServerOptions = ServerOptions & {
  /** Name of the endpoint that is served, as it was declared. */
  readonly endpoint: string;
};

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * An ordinary HTTP/1.1 server before which the gate of an endpoint stands. @throws not-found, state-conflict
 */
export function createHttpServer(ports: ServicePorts, { endpoint, ...options }: HttpServerOptions, handler?: HttpHandler): Server {
  const server = createServer({ ...DEFAULTS, ...options });
  guardServer(ports, server, { endpoint, protocols: ['http'], judge: judgeEvent });
  if (handler !== undefined) server.on('request', handler);
  return server;
}

function judgeEvent(event: string, [first, second]: readonly unknown[], { watch, connectionOf }: Guard): boolean {
  if (!JUDGED.has(event)) return true;
  const connection = connectionOf(event === 'clientError' ? (second as Socket) : (first as IncomingMessage).socket);
  if (connection === undefined) return false;
  if (event === 'clientError') return noteBroken(watch, connection, first as NodeJS.ErrnoException);
  return event === 'upgrade' || event === 'connect'
    ? admitUpgrade(watch, connection, first as IncomingMessage, second as Duplex)
    : admitRequest(watch, connection, first as IncomingMessage, second as ServerResponse);
}

function admitRequest(watch: CallWatch, connection: ReceiverConnection, request: IncomingMessage, response: ServerResponse): boolean {
  if (connection.calls >= MAXIMUM_PIPELINED) {
    connection.socket.destroy();
    watch.broken(connection, 'limit-exceeded');
    return false;
  }
  for (const [name, value] of watch.answerFields(connection)) response.setHeader(name, value);
  const admitted = watch.begin(connection, request, callRequestOf(request));
  if (admitted.kind === 'denied') {
    if (admitted.isSilent) {
      connection.socket.destroy();
      return false;
    }
    // A body that was refused is not read to find what follows it.
    if (admitted.closes || admitted.status === 413) response.shouldKeepAlive = false;
    if (admitted.status === 401) response.setHeader('WWW-Authenticate', challengeFor(callRequestOf(request)));
    if (admitted.status === 429) response.setHeader('Retry-After', '1');
    response.writeHead(admitted.status, { 'Content-Length': 0 }).end();
    return false;
  }
  if (watch.isRetiring(connection)) response.shouldKeepAlive = false;
  if (Number.isFinite(admitted.settings.maximumBody)) limitBody(request, response, { watch, admitted });
  response.once('close', () => {
    if (response.writableFinished) watch.end(admitted, null);
    else watch.left(admitted);
  });
  return true;
}

type WatchedCall = { readonly watch: CallWatch; readonly admitted: Admitted };

/** A body without a length is cut where it passes the limit: its handler sees that whoever called is gone, as it would be any time. */
function limitBody(request: IncomingMessage, response: ServerResponse, { watch, admitted }: WatchedCall): void {
  let left = admitted.settings.maximumBody;
  const push = request.push.bind(request);
  request.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    left -= chunk?.length ?? 0;
    if (left >= 0) return push(chunk, encoding);
    left = Number.POSITIVE_INFINITY;
    if (!watch.refusesBody(admitted)) return push(chunk, encoding);
    const { socket } = request;
    // Only the answer whose turn it is has the socket.
    if (!response.headersSent && response.socket !== null) socket.write(TOO_LARGE);
    socket.destroySoon();
    request.destroy();
    return false;
  };
}

function admitUpgrade(watch: CallWatch, connection: ReceiverConnection, request: IncomingMessage, stream: Duplex): boolean {
  const admitted = watch.begin(connection, request, callRequestOf(request));
  if (admitted.kind === 'denied') {
    stream.destroy();
    return false;
  }
  stream.once('close', () => watch.end(admitted, null));
  return true;
}

function callRequestOf({ method = '', url = '', headers, rawHeaders }: IncomingMessage): CallRequest {
  return {
    method,
    target: () => url,
    authority: () => headers.host ?? '',
    bodyLength: () => Number(headers['content-length'] ?? 0),
    fields: () => rawHeaders.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text)),
  };
}

/** Node's own answer, or the service's, follows. */
function noteBroken(watch: CallWatch, connection: ReceiverConnection, { code = '' }: NodeJS.ErrnoException): boolean {
  const reason = reasonOf(code);
  if (reason !== null) watch.broken(connection, reason);
  if (!watch.isSilent(connection)) return true;
  connection.socket.destroy();
  return false;
}

function reasonOf(code: string): RefusalReason | null {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'timeout';
  if (code === 'HPE_HEADER_OVERFLOW' || code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return 'limit-exceeded';
  return code.startsWith('HPE_') && code !== 'HPE_INVALID_EOF_STATE' ? 'request-malformed' : null;
}

const TOO_LARGE = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
const JUDGED: ReadonlySet<string> = new Set(['request', 'checkContinue', 'checkExpectation', 'upgrade', 'connect', 'clientError']);
/** Hardly a client pipelines at all, and those that do send a few calls ahead. */
const MAXIMUM_PIPELINED = 32;
/** Longer than any client of ours keeps a connection idle, so that clients close first; headers as long as the proxies take them. */
const DEFAULTS: ServerOptions = { keepAliveTimeout: 75_000, headersTimeout: 15_000, requestTimeout: 0, maxHeaderSize: 65_536 };
