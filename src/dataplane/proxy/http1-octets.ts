import type { AnswerHead } from '../../core/http1/answer-head.ts';
import type { Trailers } from '../../core/http1/chunk-reader.ts';
import type { FieldBlock, LeftOut } from '../../core/http1/field-block.ts';
import type { Head } from '../../core/http1/head-reader.ts';
import { COLON, LF } from '../../core/http1/octet-classes.ts';
import type { BodyFraming, RequestHead } from '../../core/http1/request-head.ts';
import type { AnswerRules } from '../tls/answer-rules.ts';

/** Octets of a piece of content, from `from` to `to` of `octets`. */
export type Content = { readonly octets: Uint8Array; readonly from: number; readonly to: number };

export type RequestOptions = {
  readonly framing: BodyFraming;
  /** Field lines of ours. */
  readonly added: Buffer;
  readonly stripIdentity: boolean;
  /** Asks the next hop to become a WebSocket. */
  readonly switches: boolean;
  /** The body, where all of it is here; else empty. */
  readonly body: Buffer;
};

/** A request for the next hop, with its body if that is given, in one buffer. What travels is copied, not read again. */
export function requestOctets(head: RequestHead, options: RequestOptions): Buffer {
  const { framing, added, stripIdentity, body } = options;
  const { start, fields, octets } = head;
  const lines = framingLines(framing, fields.length) + (options.switches ? SWITCH_LINES : '');
  const room = Buffer.allocUnsafe(head.fieldsEnd - start.targetAt + SPARE_OCTETS + lines.length + added.length + body.length);
  let at = write(room, 0, `${start.method} `);
  at = copy(room, at, { octets, from: start.targetAt, to: start.targetEnd });
  // RFC 9112 section 3.2: HTTP/1.1 wants a host, which HTTP/1.0 need not have.
  at += write(room, at, fields.hosts === 0 ? ` HTTP/1.1\r\nHost: localhost\r\n` : ' HTTP/1.1\r\n');
  at = copyFields(room, at, head, stripIdentity ? LEAVES_IDENTITY_OUT : LEAVES_IDENTITY);
  at = copy(room, at, { octets: added, from: 0, to: added.length });
  at += write(room, at, lines);
  at += write(room, at, '\r\n');
  return room.subarray(0, copy(room, at, { octets: body, from: 0, to: body.length }));
}

export type AnswerOptions = {
  /** How the answer goes on to whoever called. */
  readonly framing: BodyFraming;
  readonly closes: boolean;
  readonly content: Content;
  /** The content is the rest of the body. */
  readonly isLast: boolean;
  readonly trailers: Trailers | null;
  readonly rules: AnswerRules | null;
};

/** An answer's head for whoever called, with as much of its body as there is, in one buffer. */
export function answerOctets(head: AnswerHead, options: AnswerOptions): Buffer {
  const { framing, closes, content, isLast, trailers, rules } = options;
  const { start, fields, octets } = head;
  // RFC 9110 section 8.6: none beside 204; what HEAD and 304 say of a length stays.
  const lines = start.status === 204 ? '' : framingLines(framing, fields.length);
  const added = rules?.lines ?? NO_LINES;
  const size = head.fieldsEnd - start.phraseAt + SPARE_OCTETS + lines.length + added.length + sizeOfContent(content, trailers);
  const room = Buffer.allocUnsafe(size);
  let at = write(room, 0, `HTTP/1.1 ${start.status} `);
  at = copy(room, at, { octets, from: start.phraseAt, to: start.phraseEnd });
  at += write(room, at, '\r\n');
  at = copyFields(room, at, rules === null ? head : withoutFields(head, rules.replaced), LEAVES_IDENTITY);
  at = copy(room, at, { octets: added, from: 0, to: added.length });
  at += write(room, at, lines);
  at += write(room, at, start.status === 101 ? SWITCHED_END : closes ? CLOSE_END : KEEP_END);
  return room.subarray(0, writeContent(room, at, { framing, content, isLast, trailers }));
}

/** A piece of a body on its way, in the framing of this hop. */
export function contentOctets(framing: BodyFraming, content: Content, isLast: boolean, trailers: Trailers | null): Buffer {
  const { octets, from, to } = content;
  if (framing.kind !== 'chunked') return Buffer.from(octets.buffer, octets.byteOffset + from, to - from);
  const room = Buffer.allocUnsafe(sizeOfContent(content, trailers));
  return room.subarray(0, writeContent(room, 0, { framing, content, isLast, trailers }));
}

/** Flat name-value pairs as field lines. */
export function fieldLines(pairs: readonly string[]): Buffer {
  let text = '';
  for (let at = 0; at < pairs.length; at += 2) text += `${pairs[at]}: ${pairs[at + 1]}\r\n`;
  return Buffer.from(text, 'latin1');
}

/** The fields of one connection are the same at each of its calls. */
export function addedLines(pairs: readonly string[]): Buffer {
  if (pairs.length === 0) return NO_LINES;
  const known = linesOf.get(pairs);
  if (known !== undefined) return known;
  const lines = fieldLines(pairs);
  linesOf.set(pairs, lines);
  return lines;
}

function framingLines(framing: BodyFraming, length: number): string {
  if (framing.kind === 'chunked') return 'Transfer-Encoding: chunked\r\n';
  return length === -1 || framing.kind === 'close' ? '' : `Content-Length: ${length}\r\n`;
}

function sizeOfContent({ from, to }: Content, trailers: Trailers | null): number {
  return to - from + CHUNK_SPARE_OCTETS + (trailers === null ? 0 : trailers.end - trailers.at);
}

function writeContent(
  room: Buffer,
  at: number,
  { framing, content, isLast, trailers }: Pick<AnswerOptions, 'framing' | 'content' | 'isLast' | 'trailers'>,
): number {
  const length = content.to - content.from;
  if (framing.kind !== 'chunked') return copy(room, at, content);
  if (length > 0) {
    at += write(room, at, `${length.toString(16)}\r\n`);
    at = copy(room, at, content);
    at += write(room, at, '\r\n');
  }
  if (!isLast) return at;
  at += write(room, at, '0\r\n');
  if (trailers !== null) {
    const { fields, octets, at: fieldsAt, end: fieldsEnd } = trailers;
    at = copyFields(room, at, { fields, octets, fieldsAt, fieldsEnd }, LEAVES_IDENTITY);
  }
  return at + write(room, at, '\r\n');
}

/** The lines of these names are left out, too. */
function withoutFields({ fields, octets, fieldsAt, fieldsEnd }: FieldLines, names: ReadonlySet<string>): FieldLines {
  const leftOut = [...fields.leftOut];
  for (let at = fieldsAt; at < fieldsEnd;) {
    const colon = octets.indexOf(COLON, at);
    const next = octets.indexOf(LF, at) + 1;
    const name = Buffer.from(octets.buffer, octets.byteOffset + at, colon - at).toString('latin1');
    if (names.has(name.toLowerCase())) leftOut.push({ start: at, end: next, why: 'hop' });
    at = next;
  }
  return { fields: { leftOut: leftOut.toSorted((a, b) => a.start - b.start) }, octets, fieldsAt, fieldsEnd };
}

type FieldLines = Pick<Head<unknown>, 'octets' | 'fieldsAt' | 'fieldsEnd'> & { readonly fields: Pick<FieldBlock, 'leftOut'> };

/** The lines that travel, run by run. */
function copyFields(room: Buffer, at: number, { fields, octets, fieldsAt, fieldsEnd }: FieldLines, leaves: ReadonlySet<LeftOut>): number {
  let from = fieldsAt;
  for (const { start, end, why } of fields.leftOut) {
    if (start < from || !leaves.has(why)) continue;
    at = copy(room, at, { octets, from, to: start });
    from = end;
  }
  return copy(room, at, { octets, from, to: fieldsEnd });
}

/** Returns how many octets it wrote. */
function write(room: Buffer, at: number, text: string): number {
  return room.write(text, at, 'latin1');
}

/** A native copy has a price of its own, which a few octets are not worth. */
function copy(room: Buffer, at: number, { octets, from, to }: Content): number {
  if (to - from > SHORT) room.set(octets.subarray(from, to), at);
  else for (let index = from; index < to; index++) room[at + index - from] = octets[index]!;
  return at + to - from;
}

const LEAVES_IDENTITY: ReadonlySet<LeftOut> = new Set(['hop', 'framing']);
const LEAVES_IDENTITY_OUT: ReadonlySet<LeftOut> = new Set(['hop', 'framing', 'identity']);
const SWITCH_LINES = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const SWITCHED_END = `${SWITCH_LINES}\r\n`;
const CLOSE_END = 'Connection: close\r\n\r\n';
/** Longer than any client of ours keeps a connection idle, and announced, so that clients close first. */
export const KEEP_ALIVE_SECONDS = 75;
const KEEP_END = `Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_SECONDS}\r\n\r\n`;
/** Above what the lines of a head that are not copied come to. */
const SPARE_OCTETS = 128;
/** Above a chunk's size line, its end and the last chunk. */
const CHUNK_SPARE_OCTETS = 32;
const SHORT = 48;
const NO_LINES = Buffer.alloc(0);
const linesOf = new WeakMap<readonly string[], Buffer>();
