import type { Head, ReadStart } from './head-reader.ts';
import { isTargetOctet, SP } from './octet-classes.ts';

/** `target` lies from `targetAt` to `targetEnd`. */
export type RequestStart = {
  readonly method: string;
  readonly targetAt: number;
  readonly targetEnd: number;
  /** Of HTTP/1.x. */
  readonly minor: 0 | 1;
};

export type RequestHead = Head<RequestStart>;

/** How a body ends (RFC 9112 section 6.3). `close`: with the connection, which only answers may. */
export type BodyFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly octets: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

/** `method SP request-target SP HTTP-version` with exactly these spaces, and the target a path: all that a gateway takes. */
export const readRequestLine: ReadStart<RequestStart> = (octets, from, to) => {
  let at = from;
  while (at < to && octets[at] !== SP) at++;
  const method = methodOf(octets, from, at);
  const targetAt = at + 1;
  let targetEnd = targetAt;
  while (targetEnd < to && isTargetOctet[octets[targetEnd]!] === 1) targetEnd++;
  if (method === null || octets[targetAt] !== SLASH || octets[targetEnd] !== SP || to - targetEnd !== VERSION_LENGTH) return null;
  for (let index = 0; index < VERSION.length; index++) if (octets[targetEnd + index] !== VERSION[index]) return null;
  const minor = octets[to - 1]! - DIGIT_ZERO;
  return minor === 0 || minor === 1 ? { method, targetAt, targetEnd, minor } : null;
};

/** What a request's head says of its body, or why the request is refused. */
export function framingOfRequest({
  start: { minor },
  fields,
}: RequestHead): BodyFraming | { readonly kind: 'malformed'; readonly because: string } {
  if (fields.hosts === 0 && minor === 1) return { kind: 'malformed', because: 'no host field' };
  if (!fields.isChunked) return fields.length > 0 ? { kind: 'length', octets: fields.length } : NONE;
  // RFC 9112 section 6.1: both of these are what smuggling is made of.
  if (fields.length !== -1) return { kind: 'malformed', because: 'a length beside chunks' };
  return minor === 0 ? { kind: 'malformed', because: 'chunks in HTTP/1.0' } : CHUNKED;
}

/** True if the caller wants its connection kept: by default in HTTP/1.1, by its word in HTTP/1.0 (RFC 9112 section 9.3). */
export function keepsConnection({ start: { minor }, fields }: RequestHead): boolean {
  return !fields.closes && (minor === 1 || fields.keepsAlive);
}

/** True for a WebSocket handshake (RFC 6455 section 4.1). Any other offer may be left unanswered (RFC 9110 section 7.8). */
export function wantsWebSocket({ start: { method, minor }, fields }: RequestHead): boolean {
  const isOffer = fields.upgrades && fields.protocol === 'websocket';
  return isOffer && method === 'GET' && minor === 1 && !fields.isChunked && fields.length === -1;
}

function methodOf(octets: Uint8Array, from: number, to: number): string | null {
  const length = to - from;
  if (length === 3 && octets[from] === 0x47 && octets[from + 1] === 0x45 && octets[from + 2] === 0x54) return 'GET';
  if (length > LONGEST_METHOD) return null;
  let text = '';
  for (let at = from; at < to; at++) text += String.fromCharCode(octets[at]!);
  return methods.has(text) ? text : null;
}

/** The registered ones and those in use (IANA HTTP Method Registry, WebDAV, UPnP). CONNECT asks for a tunnel, which a gateway is not. */
export const methods: ReadonlySet<string> = new Set(
  (
    'ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST ' +
    'PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
);
const LONGEST_METHOD = 11;
const SLASH = 0x2f;
const DIGIT_ZERO = 0x30;
const VERSION: Uint8Array = Uint8Array.from(' HTTP/1.', (character) => character.charCodeAt(0));
const VERSION_LENGTH = VERSION.length + 1;
const NONE = { kind: 'none' } as const;
const CHUNKED = { kind: 'chunked' } as const;
