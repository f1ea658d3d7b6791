import { sensitiveHeaders } from 'node:http2';
import type { AnswerRules } from '../tls/answer-rules.ts';
import { isIdentityField } from '../../core/http1/identity-field.ts';

/** Names of the fields that came as never to be indexed (RFC 7541 section 7.1.3): whoever hands them on has to keep that. */
export function sensitiveOf(headers: object): readonly string[] {
  return (headers as { readonly [key: symbol]: readonly string[] | undefined })[sensitiveHeaders] ?? [];
}

function markSensitive(headers: string[], names: readonly string[]): void {
  if (names.length > 0) (headers as unknown as { [key: symbol]: readonly string[] })[sensitiveHeaders] = names;
}

/** What a request of HTTP/2 carries on, or why it is no acceptable request. */
export type ForwardedHttp2Request =
  | { readonly kind: 'headers'; readonly headers: string[]; readonly method: string; readonly isGrpc: boolean }
  | { readonly kind: 'malformed'; readonly because: string };

/**
 * The header fields of a request for the next hop over HTTP/2. nghttp2 has refused pseudo fields out of order or twice, fields of a
 * connection, upper case and CR, LF or NUL in values before this (RFC 9113 section 8.2 and 8.3); what it lets pass is judged here.
 */
export function forwardHttp2Request(raw: readonly string[], sensitive: readonly string[], stripIdentity: boolean): ForwardedHttp2Request {
  const headers: string[] = [];
  let method = '';
  let path = '';
  let authority: string | null = null;
  let host: string | null = null;
  let isGrpc = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const value = raw[at + 1]!;
    if (name === ':method') method = value;
    else if (name === ':path') path = value;
    else if (name === ':authority') authority = value;
    else if (name === 'host') {
      if (host !== null) return { kind: 'malformed', because: 'two host fields' };
      host = value;
    } else if (name === 'content-type') isGrpc = isGrpcType(value);
    else if (isHopField(name)) {
      // RFC 9113 section 8.2.2: all that it may say.
      if (name === 'te') headers.push(name, 'trailers');
      continue;
    } else if (stripIdentity && isIdentityField(name)) continue;
    headers.push(name, value);
  }
  // A tunnel would carry what nobody judges; the extended form (RFC 8441) is not offered here.
  if (method === 'CONNECT') return { kind: 'malformed', because: 'CONNECT' };
  if (!path.startsWith('/')) return { kind: 'malformed', because: 'a path that does not begin with a slash' };
  // RFC 9113 section 8.3.1: whoever reads the other one would serve another host.
  if (host !== null && authority !== null && host !== authority) return { kind: 'malformed', because: 'host differs from :authority' };
  if (host === null && (authority === null || authority === '')) return { kind: 'malformed', because: 'neither :authority nor host' };
  markSensitive(headers, sensitive);
  return { kind: 'headers', headers, method, isGrpc };
}

/** True for `application/grpc` and its kinds such as `application/grpc+proto`; not for gRPC-Web, which is another protocol. */
export function isGrpcType(contentType: string): boolean {
  return /^application\/grpc(?:[+;]|$)/i.test(contentType);
}

/**
 * nghttp2 lets the first two pass where `node:http2` throws, in some spelling; none of them means anything to the next hop. Why a call
 * failed is said by the proxy next to a service only: what others say would be believed, or tell a peer of ours.
 */
function isHopField(name: string): boolean {
  return name === 'te' || name === 'http2-settings' || name === 'countersign-failure';
}

/** The status of an answer; 0 where it is none that `node:http2` sends (RFC 9110 section 15). */
export function statusOf(raw: readonly string[]): number {
  const status = raw[0] === ':status' ? Number(raw[1]) : 0;
  return status >= 200 && status <= 599 ? status : 0;
}

/** The header fields of an answer for the caller, as flat name-value pairs. */
export function forwardHttp2Answer(raw: readonly string[], sensitive: readonly string[], rules: AnswerRules | null): string[] {
  const headers: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    if (!isHopField(name) && rules?.replaced.has(name) !== true) headers.push(name, raw[at + 1]!);
  }
  if (rules !== null) headers.push(...rules.added);
  markSensitive(headers, sensitive);
  return headers;
}

/** Trailers as `sendTrailers` takes them; a name that comes more than once keeps all its values. */
export function trailersOf(raw: readonly string[], stripIdentity: boolean): Record<string, string | string[]> {
  const trailers: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const known = trailers[name];
    // RFC 9113 section 8.1: no pseudo field in trailers; nghttp2 refuses them, and nothing of the kind is made here.
    if (name.startsWith(':') || isHopField(name) || (stripIdentity && isIdentityField(name))) continue;
    trailers[name] = known === undefined ? raw[at + 1]! : [...(Array.isArray(known) ? known : [known]), raw[at + 1]!];
  }
  return trailers;
}
