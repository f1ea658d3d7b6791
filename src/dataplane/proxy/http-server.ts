import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { CallGate } from './call-gate.ts';
import { forwardHttp, refuseCall } from './http-forward.ts';
import { forwardUpgrade } from './http-upgrade.ts';

/** An HTTP/1.1 server that is fed connections by `serve`, once it is known who they are, with what judges their calls. */
export type HttpFeed = {
  serve(socket: Socket, gate: CallGate): void;
  close(): void;
};

export function makeHttpFeed(): HttpFeed {
  const served = new WeakMap<Socket, Served>();
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
  server.on('request', (request, response) => {
    const connection = served.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    if (connection.calls >= MAXIMUM_PIPELINED) return void cutGreedy(request.socket, connection.gate);
    const hop = connection.gate.admit();
    if (hop === null) return refuseCall(response, 403, true);
    connection.calls += 1;
    response.once('close', () => {
      connection.calls -= 1;
      hop.onClose();
    });
    forwardHttp(request, response, hop);
  });
  server.on('upgrade', (request, stream, head) => {
    const hop = served.get(request.socket)?.gate.admit() ?? null;
    if (hop === null) return void stream.destroy();
    stream.once('close', () => hop.onClose());
    forwardUpgrade(request, stream, head, hop);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    const reason = reasonOf(error);
    // A reset or an end is no request at all.
    if (reason !== null) served.get(socket)?.gate.onBroken(reason);
    if (reason !== null && socket.writable && socket.bytesWritten === 0)
      socket.end(`HTTP/1.1 ${statuses[reason]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  });
  // It never listens itself, so nothing else would start its watch over slow headers. https.Server has the same event from its listener.
  server.emit('listening');
  return {
    serve(socket, gate) {
      served.set(socket, { gate, calls: 0 });
      server.emit('connection', socket);
    },
    close: () => void server.close(),
  };
}

type Served = { readonly gate: CallGate; calls: number };

/** Without this bound one connection could take every connection to the service, and fill the memory with calls that wait for one. */
function cutGreedy(socket: Socket, gate: CallGate): void {
  socket.destroy();
  gate.onBroken('limit-exceeded');
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
/** Hardly a client pipelines at all, and those that do send a few calls ahead. */
const MAXIMUM_PIPELINED = 32;
