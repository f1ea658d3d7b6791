import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

export type HttpServerHandlers = {
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  /** The request wants to become a WebSocket; the handler owns the stream. */
  onUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void;
  /** What arrived is no acceptable request. */
  onBroken(socket: Socket, reason: RefusalReason): void;
};

/** An HTTP/1.1 server that is fed connections by `serve`, once it is known who they are. */
export type HttpFeed = {
  serve(socket: Socket): void;
  close(): void;
};

export function makeHttpFeed(handlers: HttpServerHandlers): HttpFeed {
  const server: Server = createServer({
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveTimeoutBuffer: KEEP_ALIVE_BUFFER_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // Uploads may take their time; a caller that sends nothing holds one connection and nothing behind it.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_EVERY_MS,
    maxHeaderSize: MAXIMUM_HEADER_OCTETS,
    insecureHTTPParser: false,
    requireHostHeader: true,
    // Any other offer, such as h2c, may be left unanswered (RFC 9110 section 7.8): the call goes on as HTTP/1.1.
    shouldUpgradeCallback: (request) => request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket',
  });
  server.on('request', (request, response) => handlers.onRequest(request, response));
  server.on('upgrade', (request, stream, head) => handlers.onUpgrade(request, stream, head));
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    const reason = reasonOf(error);
    // A reset or an end is no request at all.
    if (reason !== null) handlers.onBroken(socket, reason);
    if (reason !== null && socket.writable && socket.bytesWritten === 0)
      socket.end(`HTTP/1.1 ${statuses[reason]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  });
  // It never listens itself, so nothing else would start its watch over slow headers. https.Server has the same event from its listener.
  server.emit('listening');
  return {
    serve: (socket) => void server.emit('connection', socket),
    close: () => void server.close(),
  };
}

function reasonOf({ code = '' }: NodeJS.ErrnoException): 'timeout' | 'limit-exceeded' | 'request-malformed' | null {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'timeout';
  if (code === 'HPE_HEADER_OVERFLOW' || code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return 'limit-exceeded';
  return code.startsWith('HPE_') && code !== 'HPE_INVALID_EOF_STATE' ? 'request-malformed' : null;
}

const statuses = {
  timeout: '408 Request Timeout',
  'limit-exceeded': '431 Request Header Fields Too Large',
  'request-malformed': '400 Bad Request',
} as const;

/** Longer than any client of ours keeps a connection idle, and announced, so that clients close first. */
const KEEP_ALIVE_MS = 75_000;
const KEEP_ALIVE_BUFFER_MS = 5_000;
const HEADERS_TIMEOUT_MS = 15_000;
const CHECK_EVERY_MS = 2_000;
/** What nginx and Envoy take by default and a little more, for identity headers of a hop before. */
const MAXIMUM_HEADER_OCTETS = 65_536;
