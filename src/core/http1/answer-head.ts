import type { Head, ReadStart } from './head-reader.ts';
import { SP } from './octet-classes.ts';
import type { BodyFraming } from './request-head.ts';

/** The reason phrase lies from `phraseAt` to `phraseEnd`; empty where it holds anything but printable ASCII, as it means nothing to anybody. */
export type AnswerStart = {
  readonly status: number;
  readonly phraseAt: number;
  readonly phraseEnd: number;
  readonly minor: 0 | 1;
};

export type AnswerHead = Head<AnswerStart>;

/** `HTTP-version SP status-code SP [reason-phrase]` (RFC 9112 section 4); the second space may be missing, as with many servers. */
export const readStatusLine: ReadStart<AnswerStart> = (octets, from, to) => {
  for (let index = 0; index < VERSION.length; index++) if (octets[from + index] !== VERSION[index]) return null;
  const minor = octets[from + VERSION.length]! - DIGIT_ZERO;
  const statusAt = from + VERSION.length + 2;
  const statusEnd = statusAt + 3;
  if ((minor !== 0 && minor !== 1) || octets[statusAt - 1] !== SP || statusEnd > to) return null;
  let status = 0;
  for (let at = statusAt; at < statusEnd; at++) {
    const digit = octets[at]! - DIGIT_ZERO;
    if (digit < 0 || digit > 9) return null;
    status = status * 10 + digit;
  }
  if (status < 100 || (statusEnd < to && octets[statusEnd] !== SP)) return null;
  const phraseAt = Math.min(statusEnd + 1, to);
  let isOdd = false;
  for (let at = phraseAt; at < to; at++) {
    const octet = octets[at]!;
    if (octet === 0 || octet === CARRIAGE_RETURN) return null;
    isOdd ||= (octet < SP && octet !== TAB) || octet > 0x7e;
  }
  return { status, phraseAt, phraseEnd: isOdd ? phraseAt : to, minor };
};

/** How the answer to a request of this method ends (RFC 9112 section 6.3), or why it is no acceptable answer. */
export function framingOfAnswer(
  { start: { status, minor }, fields }: AnswerHead,
  method: string,
): BodyFraming | { readonly kind: 'malformed'; readonly because: string } {
  // A server that says both, or chunks in HTTP/1.0, is read by the next one in another way.
  if (fields.isChunked && fields.length !== -1) return { kind: 'malformed', because: 'a length beside chunks' };
  if (fields.isChunked && minor === 0) return { kind: 'malformed', because: 'chunks in HTTP/1.0' };
  // RFC 9110 section 8.6, RFC 9112 section 6.1: neither may be there, and some readers believe it against section 6.3.
  if (status < 200 && (fields.isChunked || fields.length > 0)) return { kind: 'malformed', because: 'an interim answer with a body' };
  if (method === 'HEAD' || hasNoBody(status)) return { kind: 'none' };
  if (fields.isChunked) return { kind: 'chunked' };
  if (fields.length === -1) return { kind: 'close' };
  return fields.length === 0 ? { kind: 'none' } : { kind: 'length', octets: fields.length };
}

/** True for answers that end with their head whatever it says: 1xx, 204 and 304. */
export function hasNoBody(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}

const VERSION: Uint8Array = Uint8Array.from('HTTP/1.', (character) => character.charCodeAt(0));
const DIGIT_ZERO = 0x30;
const CARRIAGE_RETURN = 0x0d;
const TAB = 0x09;
