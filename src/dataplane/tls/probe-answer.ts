import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { PROBE_PATH } from '../../core/findings/drill-kind.ts';
import { answerHttp2Probe } from './http2-probe-answer.ts';

/**
 * The one answer that the probe identity gets, on a port of any protocol. The proxy gives it itself and forwards nothing of it;
 * any other request of that identity is closed without an answer.
 */
export function answerProbe(socket: Socket, generation: bigint): void {
  if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') return answerHttp2Probe(socket, generation);
  let head = '';
  const timer = setTimeout(() => socket.destroy(), TIMEOUT_MS);
  const onData = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (head.length > MAXIMUM_HEAD_OCTETS) return void socket.destroy();
    if (!head.includes('\r\n\r\n')) return;
    socket.off('data', onData);
    clearTimeout(timer);
    const target = /^GET (\S+) HTTP\/1\.1\r\n/.exec(head)?.[1] ?? '';
    if (target !== PROBE_PATH && !target.startsWith(`${PROBE_PATH}?`)) return void socket.destroy();
    const body = JSON.stringify({ generation: generation.toString() });
    socket.end(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  };
  socket.on('error', () => socket.destroy());
  socket.on('close', () => clearTimeout(timer));
  socket.on('data', onData);
}

const TIMEOUT_MS = 5_000;
const MAXIMUM_HEAD_OCTETS = 8_192;
