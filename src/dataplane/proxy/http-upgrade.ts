import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { CallHop } from './call-gate.ts';
import { forwardHttp } from './http-forward.ts';
import { forwardRequestHeaders, forwardResponseHeaders } from './http-headers.ts';
import { joinSockets } from './tcp-forward.ts';

/**
 * Carries a WebSocket handshake (RFC 6455 section 4) to the next hop. Only after its 101 do octets pass unread: a service that does not
 * switch must not leave the caller with a pipe past the header hygiene.
 */
export function forwardUpgrade(request: IncomingMessage, near: Duplex, head: Buffer, hop: CallHop): void {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(near as Socket);
  response.on('finish', () => near.end());
  near.on('error', () => near.destroy());
  const forwarded = forwardRequestHeaders(request.rawHeaders, hop.stripIdentity);
  const target = request.url ?? '';
  if (forwarded.kind === 'malformed' || forwarded.isChunked || forwarded.contentLength !== null || !target.startsWith('/')) {
    forwardHttp(request, response, hop);
    return;
  }
  let ended = false;
  const end: CallHop['onEnd'] = (how) => {
    if (!ended) hop.onEnd(how);
    ended = true;
  };
  near.on('close', () => end({ kind: 'left' }));
  const options = {
    method: 'GET' as const,
    path: target,
    headers: [...forwarded.headers, ...hop.addedHeaders],
    upgrade: 'websocket',
  };
  hop.upstream().dispatch(options, {
    onRequestStart: () => {},
    onRequestUpgrade(controller, _status, _headers, far) {
      end({ kind: 'answered' });
      response.detachSocket(near as Socket);
      const lines = pairs(forwardResponseHeaders(controller.rawHeaders as Buffer[])).map(([name, value]) => `${name}: ${value}\r\n`);
      near.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines.join('')}\r\n`, 'latin1');
      if (head.length > 0) far.write(head);
      joinSockets(near as Socket, far as Socket);
    },
    onResponseStart(controller, status, _headers, message) {
      if (status < 200) return;
      response.writeHead(status, message ?? '', [...forwardResponseHeaders(controller.rawHeaders as Buffer[]), 'Connection', 'close']);
    },
    onResponseData: (_controller, chunk) => void response.write(chunk),
    onResponseEnd() {
      end({ kind: 'answered' });
      response.end();
    },
    onResponseError() {
      end({ kind: 'failed', reason: 'upstream-broken' });
      near.destroy();
    },
  } satisfies Dispatcher.DispatchHandler);
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at]!, flat[2 * at + 1]!]);
}
