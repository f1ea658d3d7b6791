import { performServerHandshake } from 'node:http2';
import type { Socket } from 'node:net';
import { PROBE_PATH } from '../../core/findings/drill-kind.ts';

/** The answer for the probe identity over HTTP/2: to one call, then the connection ends. Any other call ends it without an answer. */
export function answerHttp2Probe(socket: Socket, generation: bigint): void {
  socket.allowHalfOpen = false;
  const session = performServerHandshake(socket, { settings: { enablePush: false, maxConcurrentStreams: 1 } });
  const timer = setTimeout(() => socket.destroy(), TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
  session.on('error', () => socket.destroy());
  session.once('stream', (stream, headers) => {
    stream.on('error', () => socket.destroy());
    const path = headers[':path'] ?? '';
    if (headers[':method'] !== 'GET' || (path !== PROBE_PATH && !path.startsWith(`${PROBE_PATH}?`))) return void socket.destroy();
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify({ generation: generation.toString() }));
    session.close();
  });
}

const TIMEOUT_MS = 5_000;
