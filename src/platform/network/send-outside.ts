import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import type { Secret } from '../../core/secrets/secret.ts';
import { dialOutside } from './dial-outside.ts';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';
import { hostOf, portOf } from './outside-url.ts';
import { readBody } from './read-body.ts';

/** The answer of a server whose certificate was verified, or why there is none. */
export type Sent =
  | { readonly kind: 'answered'; readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }
  | { readonly kind: 'failed'; readonly stage: 'dns' | 'policy' | 'connection' | 'answer'; readonly detail: string };

export type OutsideMessage = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** http is for what proves itself, such as OCSP and CRLs. */
  readonly url: string;
  readonly contentType?: string;
  readonly body?: string | Uint8Array;
  readonly bearer?: Secret;
  /** PEM of the anchors that the server's certificate must end at; null: those that Node carries. */
  readonly anchorsPem: string | null;
  readonly timeoutMs: number;
  readonly maximumOctets: number;
};

/**
 * Sends one request to a URL of our configuration: addresses by policy, the server verified by name, no redirect followed, everything
 * within one time limit.
 */
export async function sendOutside(
  deps: { readonly resolver: NameResolver; readonly policy: OutsidePolicy },
  message: OutsideMessage,
): Promise<Sent> {
  const url = new URL(message.url);
  const signal = AbortSignal.timeout(message.timeoutMs);
  const [host, port] = [hostOf(url), portOf(url)];
  const dialled = await dialOutside(deps, { host, port, signal });
  if (dialled.kind === 'failed') return dialled;
  const { socket, address } = dialled;
  try {
    const tls = { socket, host, ...(isIP(host) === 0 ? { servername: host } : {}) };
    const trust = message.anchorsPem === null ? {} : { ca: message.anchorsPem };
    const stream = url.protocol === 'https:' ? tlsConnect({ ...tls, ...trust, minVersion: 'TLSv1.2' }) : socket;
    const answer = await exchange(url, message, { stream, signal });
    const body = await readBody(answer, message.maximumOctets);
    if (body === null) return { kind: 'failed', stage: 'answer', detail: `the answer is larger than ${message.maximumOctets} octets` };
    return { kind: 'answered', status: answer.statusCode ?? 0, headers: answer.headers, body };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    const detail = signal.aborted ? `no answer of ${address} in time` : `${address} at port ${port}: ${code}`;
    return { kind: 'failed', stage: 'connection', detail };
  } finally {
    socket.destroy();
  }
}

function exchange(
  url: URL,
  { method, contentType, body, bearer }: OutsideMessage,
  { stream, signal }: { readonly stream: Duplex; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const content =
    body === undefined ? {} : { 'content-type': contentType ?? 'application/octet-stream', 'content-length': Buffer.byteLength(body) };
  const authorization = bearer === undefined ? {} : { authorization: `Bearer ${bearer.reveal()}` };
  const request = httpRequest(
    {
      createConnection: () => stream,
      method,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, 'user-agent': 'countersign', accept: '*/*', connection: 'close', ...content, ...authorization },
      maxHeaderSize: MAXIMUM_HEADERS,
      signal,
    },
    resolve,
  );
  request.on('error', reject);
  request.end(body);
  return promise;
}

const MAXIMUM_HEADERS = 16_384;
