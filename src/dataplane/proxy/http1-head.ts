import { createHash, randomBytes } from 'node:crypto';
import { HeadReader } from '../../core/http1/head-reader.ts';
import { type BodyFraming, framingOfRequest, readRequestLine, type RequestHead } from '../../core/http1/request-head.ts';
import type { Trailers } from '../../core/http1/chunk-reader.ts';
import type { AnswerRules } from '../tls/answer-rules.ts';
import type { AnswerHead } from '../../core/http1/answer-head.ts';

/** A request of HTTP/2 as one of HTTP/1.1. */
export type TranslatedRequest =
  | { readonly kind: 'request'; readonly head: RequestHead; readonly framing: BodyFraming; readonly accept: string | null }
  | { readonly kind: 'malformed'; readonly because: string };

/**
 * Writes a request's fields as a head of HTTP/1.1 and reads that with the parser that all requests of HTTP/1.1 go through (RFC 9113
 * section 8.2.1 warns of what a translation can smuggle): what it would refuse from a caller, it refuses from this translation.
 */
export function translateRequest(raw: readonly string[], isWhole: boolean): TranslatedRequest {
  const { method, protocol, path, authority, lines, cookies, hasLength } = collect(raw);
  if (protocol !== null && protocol !== 'websocket') return { kind: 'malformed', because: 'an extended CONNECT to another protocol' };
  if ((method === 'CONNECT') !== (protocol !== null)) return { kind: 'malformed', because: 'CONNECT' };
  if (authority === null) return { kind: 'malformed', because: 'no host, or two that differ' };
  const key = protocol === null ? null : randomBytes(16).toString('base64');
  let text = `${key === null ? method : 'GET'} ${path} HTTP/1.1\r\nhost: ${authority}\r\n${lines}`;
  // RFC 9113 section 8.2.3: HTTP/2 may split them, HTTP/1.1 may not.
  if (cookies.length > 0) text += `cookie: ${cookies.join('; ')}\r\n`;
  if (key !== null) text += `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ${key}\r\n`;
  else if (!isWhole && !hasLength) text += 'transfer-encoding: chunked\r\n';
  const octets = Buffer.from(`${text}\r\n`, 'latin1');
  const reading = new HeadReader(readRequestLine).read(octets, 0);
  if (reading.kind !== 'head' || reading.next !== octets.length) {
    return { kind: 'malformed', because: reading.kind === 'malformed' ? reading.because : 'a head that is none' };
  }
  const framing = framingOfRequest(reading.head);
  if (framing.kind === 'malformed') return framing;
  return { kind: 'request', head: reading.head, framing, accept: key === null ? null : acceptOf(key) };
}

/** The fields of an answer for HTTP/2, as flat name-value pairs with the status first. */
export function translateAnswer(
  { start, fields, octets, fieldsAt, fieldsEnd }: AnswerHead,
  rules: AnswerRules | null,
  status = start.status,
): string[] {
  const sent = pairsOf({ fields, octets, at: fieldsAt, end: fieldsEnd });
  const kept = rules === null ? sent : sent.filter((_text, at) => !rules.replaced.has(sent[at - (at % 2)]!));
  const pairs = [':status', String(status), ...kept, ...(rules?.added ?? [])];
  if (fields.length !== -1 && status !== 204 && !fields.isChunked) pairs.push('content-length', String(fields.length));
  return pairs;
}

export function translateTrailers(trailers: Trailers | null): Record<string, string> {
  const pairs = trailers === null ? [] : pairsOf(trailers);
  // Without a prototype: `constructor` is a name like any other.
  const translated = Object.create(null) as Record<string, string>;
  for (let at = 0; at < pairs.length; at += 2) {
    const name = pairs[at]!;
    translated[name] = translated[name] === undefined ? pairs[at + 1]! : `${translated[name]}, ${pairs[at + 1]!}`;
  }
  return translated;
}

/** The value of a field of a 101, or null. */
export function fieldOf({ fields, octets, fieldsAt, fieldsEnd }: AnswerHead, name: string): string | null {
  const pairs = pairsOf({ fields, octets, at: fieldsAt, end: fieldsEnd });
  const found = pairs.findIndex((text, at) => at % 2 === 0 && text === name);
  return found === -1 ? null : pairs[found + 1]!;
}

function collect(raw: readonly string[]) {
  let method = '';
  let path = '';
  let protocol: string | null = null;
  let authority: string | null = null;
  let host: string | null = null;
  let hasLength = false;
  let lines = '';
  const cookies: string[] = [];
  let isOdd = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const value = raw[at + 1]!;
    switch (name) {
      case ':method':
        method = value;
        break;
      case ':path':
        path = value;
        break;
      case ':protocol':
        protocol = value;
        break;
      case ':authority':
        authority = value;
        break;
      case 'host':
        // RFC 9113 section 8.3.1: whoever reads the other one would serve another host.
        isOdd ||= host !== null;
        host = value;
        break;
      case 'cookie':
        cookies.push(value);
        break;
      case ':scheme':
        break;
      default:
        if (name === 'content-length') hasLength = true;
        // Of a handshake of its own, which the proxy makes.
        if (name !== 'sec-websocket-key') lines += `${name}: ${value}\r\n`;
    }
  }
  const isSplit = isOdd || (host !== null && authority !== null && host !== authority);
  return { method, path, protocol, authority: isSplit ? null : (authority ?? host), lines, cookies, hasLength };
}

/** The lines that travel, as lower-case names and values. */
function pairsOf({ fields, octets, at, end }: Trailers): string[] {
  const pairs: string[] = [];
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  const leftOut = new Set(fields.leftOut.filter(({ why }) => why !== 'identity').map(({ start }) => start));
  while (at < end) {
    const next = text.indexOf('\n', at) + 1;
    if (!leftOut.has(at)) {
      const colon = text.indexOf(':', at);
      pairs.push(text.toString('latin1', at, colon).toLowerCase(), text.toString('latin1', colon + 1, next - 2).trim());
    }
    at = next;
  }
  return pairs;
}

/** RFC 6455 section 4.2.2. */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}
