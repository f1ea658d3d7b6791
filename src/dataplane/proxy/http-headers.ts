/** What a request carries on, or why it is no acceptable request. */
export type ForwardedRequest =
  | { readonly kind: 'headers'; readonly headers: string[]; readonly contentLength: number | null; readonly isChunked: boolean }
  | { readonly kind: 'malformed'; readonly because: string };

/**
 * The header fields of a request for the next hop, as flat name-value pairs in their order. Fields of this hop are left out
 * (RFC 9110 section 7.6.1), and `stripIdentity` leaves out every field that could pass for a proof of identity.
 * llhttp in its strict mode has refused two lengths, a length beside chunks, and odd characters before this.
 */
export function forwardRequestHeaders(raw: readonly string[], stripIdentity: boolean): ForwardedRequest {
  const named = namedByConnection(raw);
  const headers: string[] = [];
  let hosts = 0;
  let contentLength: number | null = null;
  let isChunked = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const value = raw[at + 1]!;
    const lower = name.toLowerCase();
    if (lower === 'host') hosts += 1;
    if (lower === 'transfer-encoding') {
      // A coding under `chunked` would have to be undone here; nobody sends one (RFC 9112 section 6.1).
      if (value.toLowerCase() !== 'chunked') return { kind: 'malformed', because: 'a transfer coding other than chunked' };
      isChunked = true;
    }
    if (lower === 'content-length') contentLength = Number(value);
    if (hopByHop.has(lower) || named?.has(lower) || (stripIdentity && isIdentityHeader(lower))) continue;
    headers.push(name, value);
  }
  // RFC 9112 section 3.2: two of them are an attack on whoever reads the other one.
  if (hosts > 1) return { kind: 'malformed', because: 'two host fields' };
  return { kind: 'headers', headers, contentLength, isChunked };
}

/** The header fields of an answer without those of the hop that it came over. */
export function forwardResponseHeaders(raw: readonly (Buffer | string)[]): string[] {
  const pairs = raw.map((item) => (typeof item === 'string' ? item : item.toString('latin1')));
  const named = namedByConnection(pairs);
  const headers: string[] = [];
  for (let at = 0; at < pairs.length; at += 2) {
    const name = pairs[at]!;
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || named?.has(lower)) continue;
    headers.push(name, pairs[at + 1]!);
  }
  return headers;
}

/**
 * True for `Client-Cert`, `Client-Cert-Chain` (RFC 9440) and `X-Forwarded-Client-Cert` in any spelling that a service could read
 * as one of them: gateways in the manner of CGI make no difference between a hyphen and an underscore.
 */
export function isIdentityHeader(lower: string): boolean {
  if (lower.length < 11) return false;
  return identityHeaders.has(lower.includes('_') ? lower.replaceAll('_', '-') : lower);
}

/** Field names that a Connection field declares to be of this hop, but for those that are never (an old way to strip a credential). */
function namedByConnection(raw: readonly string[]): Set<string> | null {
  let named: Set<string> | null = null;
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]!.length !== 10 || raw[at]!.toLowerCase() !== 'connection') continue;
    for (const token of raw[at + 1]!.toLowerCase().split(',')) {
      const name = token.trim();
      if (name !== 'close' && name !== 'keep-alive' && !endToEnd.has(name)) (named ??= new Set()).add(name);
    }
  }
  return named;
}

const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const identityHeaders: ReadonlySet<string> = new Set(['client-cert', 'client-cert-chain', 'x-forwarded-client-cert']);
const endToEnd: ReadonlySet<string> = new Set(['authorization', 'content-length', 'content-type', 'cookie', 'host', 'set-cookie']);
