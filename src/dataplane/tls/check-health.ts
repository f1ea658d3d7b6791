import { request } from 'node:http';
import { connect, type ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { HealthQuestion } from './replica-settings.ts';

/** Asks what is at the other end of a verified connection how it is; the connection ends with the answer. True: well. */
export async function checkHealth(socket: Socket, question: HealthQuestion, { host, signal }: CheckOptions): Promise<boolean> {
  const end = (): void => void socket.destroy();
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  try {
    if (question.kind === 'connect') return !socket.destroyed;
    return question.kind === 'http' ? await askHttp(socket, host, question.path) : await askGrpc(socket, host, question.service);
  } finally {
    signal.removeEventListener('abort', end);
    socket.destroy();
  }
}

export type CheckOptions = {
  /** What the endpoint is called. */
  readonly host: string;
  readonly signal: AbortSignal;
};

/** An answer without a redirect; what it holds is not read. */
function askHttp(socket: Socket, host: string, path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const headers = { host, 'user-agent': 'countersign-health-check', connection: 'close' };
  const asked = request({ path, headers, maxHeaderSize: MAXIMUM_ANSWER_OCTETS, createConnection: () => socket });
  asked.once('response', ({ statusCode = 0 }) => resolve(statusCode >= 200 && statusCode < 300));
  asked.on('error', () => resolve(false)).once('close', () => resolve(false));
  asked.end();
  return promise;
}

/** grpc.health.v1: Health/Check. */
async function askGrpc(socket: Socket, host: string, service: string): Promise<boolean> {
  socket.allowHalfOpen = false;
  const session = connect('http://upstream.invalid', { createConnection: () => socket, settings: { enablePush: false } });
  session.on('error', ignore);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    ':authority': host,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.end(requestOf(service));
  const isWell = await readServing(stream);
  session.destroy();
  return isWell;
}

function readServing(stream: ClientHttp2Stream): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let answer: Buffer = Buffer.alloc(0);
  let status: unknown;
  stream.on('response', (headers) => (status = headers['grpc-status']));
  stream.on('trailers', (trailers) => (status = trailers['grpc-status']));
  stream.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.length > MAXIMUM_ANSWER_OCTETS) stream.destroy();
  });
  stream.on('error', ignore);
  stream.once('close', () => resolve(status === '0' && answer.equals(SERVING)));
  return promise;
}

/** A message of one field, a string, behind its five octets of length (gRPC over HTTP/2). */
function requestOf(service: string): Buffer {
  const text = Buffer.from(service);
  if (text.length === 0) return Buffer.alloc(5);
  const length = text.length < 128 ? [text.length] : [(text.length & 0x7f) | 0x80, text.length >> 7];
  const message = Buffer.concat([Buffer.from([STRING_FIELD_1, ...length]), text]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

function ignore(): void {}

const STRING_FIELD_1 = 0x0a;
/** HealthCheckResponse of status SERVING (1), the only answer that is one. */
const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
const MAXIMUM_ANSWER_OCTETS = 16_384;
