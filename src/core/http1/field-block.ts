import { identityFields } from './identity-field.ts';
import { COLON, CR, HTAB, isHostOctet, isTokenOctet, isValueOctet, LF, SP } from './octet-classes.ts';

/** Why a field line does not travel to the next hop as it stands. */
export type LeftOut = 'hop' | 'framing' | 'identity';

/** A field line, its CRLF included, by its place in the head. */
export type LeftOutLine = { readonly start: number; readonly end: number; readonly why: LeftOut };

/**
 * What the field lines of one head or trailer section say that concerns this hop. All else in them is only checked and carried on,
 * octet for octet. Line by line, as strict as RFC 9112 section 5: no space before the colon, no folding, no bare CR or LF.
 */
export class FieldBlock {
  /** In their order. */
  readonly leftOut: LeftOutLine[] = [];
  count = 0;
  hosts = 0;
  /** Where the host lies, without spaces around it. */
  hostFrom = 0;
  hostTo = 0;
  /** Of Content-Length; -1 where there is none. */
  length = -1;
  isChunked = false;
  /** Options of Connection. */
  closes = false;
  keepsAlive = false;
  upgrades = false;
  /** Lower-case field names that Connection declares to be of this hop. */
  named: Set<string> | null = null;
  expectation: 'none' | 'continue' | 'other' = 'none';
  /** The one value of Upgrade, lower case. */
  protocol: string | null = null;
  /** The `timeout` parameter of Keep-Alive, in seconds; -1 where it is not said. */
  idleSeconds = -1;
  /** Why the block is refused. */
  fault: string | null = null;

  /**
   * Reads the line that begins at `at`. Returns where the next one begins, -1 where the line is not whole yet, -2 where it is refused
   * (see `fault`). The empty line is not for this.
   */
  readLine(octets: Uint8Array, at: number, limit: number): number {
    let colon = at;
    while (colon < limit && isTokenOctet[octets[colon]!] === 1) colon++;
    if (colon === limit) return -1;
    if (colon === at || octets[colon] !== COLON) return this.#refuse('a field name is no token followed by a colon');
    let end = colon + 1;
    while (end < limit && isValueOctet[octets[end]!] === 1) end++;
    if (end + 1 >= limit) return end < limit && octets[end] !== CR ? this.#refuse('an odd octet in a field value') : -1;
    if (octets[end] !== CR || octets[end + 1] !== LF) return this.#refuse('an odd octet in a field value');
    this.count += 1;
    if (this.count > MAXIMUM_FIELDS) return this.#refuse('too many fields');
    this.#note(octets, { start: at, colon, end });
    return this.fault === null ? end + 2 : -2;
  }

  /** Once all lines are read: the lines that Connection named are left out, too. */
  finish(octets: Uint8Array, start: number, end: number): void {
    if (this.named === null) return;
    for (let at = start; at < end;) {
      const colon = octets.indexOf(COLON, at);
      const next = octets.indexOf(LF, at) + 1;
      if (this.named.has(lowerCase(octets, at, colon))) this.leftOut.push({ start: at, end: next, why: 'hop' });
      at = next;
    }
    this.leftOut.sort((a, b) => a.start - b.start);
  }

  #refuse(fault: string): -2 {
    this.fault = fault;
    return -2;
  }

  /** Most names are told from those that matter by their length alone. */
  #note(octets: Uint8Array, line: Line): void {
    switch (line.colon - line.start) {
      case 2:
        if (isNamed(octets, line, TE)) this.#leave(line, 'hop');
        return;
      case 4:
        if (isNamed(octets, line, HOST)) this.#noteHost(octets, line);
        return;
      case 6:
        if (isNamed(octets, line, EXPECT)) this.#noteExpect(octets, line);
        return;
      case 7:
        if (isNamed(octets, line, UPGRADE)) this.#noteUpgrade(octets, line);
        else if (isNamed(octets, line, TRAILER)) this.#leave(line, 'hop');
        return;
      case 10:
        if (isNamed(octets, line, CONNECTION)) this.#noteConnection(octets, line);
        else if (isNamed(octets, line, KEEP_ALIVE)) this.#noteKeepAlive(octets, line);
        return;
      case 11:
        if (isNamed(octets, line, CLIENT_CERT)) this.#leave(line, 'identity');
        return;
      case 14:
        if (isNamed(octets, line, CONTENT_LENGTH)) this.#noteLength(octets, line);
        else if (isNamed(octets, line, HTTP2_SETTINGS)) this.#leave(line, 'hop');
        return;
      case 16:
        if (isNamed(octets, line, PROXY_CONNECTION)) this.#leave(line, 'hop');
        return;
      case 17:
        if (isNamed(octets, line, TRANSFER_ENCODING)) this.#noteCoding(octets, line);
        else if (isNamed(octets, line, CLIENT_CERT_CHAIN)) this.#leave(line, 'identity');
        return;
      case 19:
        // Only the proxy next to a service says it, to that service: what others say would be believed, or tell a peer of ours.
        if (isNamed(octets, line, COUNTERSIGN_FAILURE)) this.#leave(line, 'hop');
        return;
      case 23:
        if (isNamed(octets, line, X_FORWARDED_CLIENT_CERT)) this.#leave(line, 'identity');
        return;
      default:
    }
  }

  #leave({ start, end }: Line, why: LeftOut): void {
    this.leftOut.push({ start, end: end + 2, why });
  }

  #noteHost(octets: Uint8Array, line: Line): void {
    this.hosts += 1;
    // RFC 9112 section 3.2: a second one is an attack on whoever reads the other one.
    if (this.hosts > 1) this.#refuse('two host fields');
    const { from, to } = plainValue(octets, line);
    this.hostFrom = from;
    this.hostTo = to;
    for (let at = from; at < to; at++) if (isHostOctet[octets[at]!] !== 1) this.#refuse('a host that is none');
  }

  #noteExpect(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'hop');
    const isOther = this.expectation === 'other' || valueOf(octets, line) !== '100-continue';
    this.expectation = isOther ? 'other' : 'continue';
  }

  #noteUpgrade(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'hop');
    // Two of them are a choice, and none of ours.
    this.protocol = this.protocol === null ? valueOf(octets, line) : '';
  }

  #noteKeepAlive(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'hop');
    const seconds = /(?:^|[,\s])timeout=(\d{1,9})(?:$|[,\s])/.exec(valueOf(octets, line))?.[1];
    if (seconds !== undefined) this.idleSeconds = Number(seconds);
  }

  #noteConnection(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'hop');
    for (const part of valueOf(octets, line).split(',')) {
      const option = part.trim();
      if (option === 'close') this.closes = true;
      else if (option === 'keep-alive') this.keepsAlive = true;
      else if (option === 'upgrade') this.upgrades = true;
      // Naming a credential or the length here is an old way to strip it on the way.
      else if (option !== '' && !endToEnd.has(option)) (this.named ??= new Set()).add(option);
    }
  }

  #noteLength(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'framing');
    if (isSpelledWithUnderscore(octets, line)) return void this.#refuse('content_length');
    const { from, to } = plainValue(octets, line);
    let length = to > from && to - from <= MAXIMUM_LENGTH_DIGITS ? 0 : Number.NaN;
    for (let at = from; at < to; at++) {
      const digit = octets[at]! - 0x30;
      length = digit >= 0 && digit <= 9 ? length * 10 + digit : Number.NaN;
    }
    if (Number.isNaN(length)) this.#refuse('a content length that is no number');
    // RFC 9110 section 8.6 would allow equal ones to be one; nobody honest sends them.
    else if (this.length !== -1) this.#refuse('two content lengths');
    else this.length = length;
  }

  #noteCoding(octets: Uint8Array, line: Line): void {
    this.#leave(line, 'framing');
    if (isSpelledWithUnderscore(octets, line)) return void this.#refuse('transfer_encoding');
    const { from, to } = plainValue(octets, line);
    // A coding under `chunked` would have to be undone here; nobody sends one (RFC 9112 section 6.1).
    if (this.isChunked || lowerCase(octets, from, to) !== 'chunked') this.#refuse('a transfer coding other than chunked');
    else this.isChunked = true;
  }
}

/** Places in the head: of the name, of the colon behind it, of the CRLF. */
type Line = { readonly start: number; readonly colon: number; readonly end: number };

/**
 * Without regard to case, and a `_` counts as the `-` that gateways in the manner of CGI make no difference to. The name is known to be a
 * token, so `| 0x20` maps nothing but capitals onto letters.
 */
function isNamed(octets: Uint8Array, { start }: Line, name: Uint8Array): boolean {
  for (let at = 0; at < name.length; at++) {
    const octet = octets[start + at]!;
    if ((octet | 0x20) !== name[at] && !(octet === UNDERSCORE && name[at] === HYPHEN)) return false;
  }
  return true;
}

function isSpelledWithUnderscore(octets: Uint8Array, { start, colon }: Line): boolean {
  return octets.subarray(start, colon).includes(UNDERSCORE);
}

/** What framing or routing hangs on has spaces around it at most. */
function plainValue(octets: Uint8Array, { colon, end }: Line): { readonly from: number; readonly to: number } {
  let from = colon + 1;
  let to = end;
  while (from < to && octets[from] === SP) from++;
  while (to > from && octets[to - 1] === SP) to--;
  return { from, to };
}

function valueOf(octets: Uint8Array, { colon, end }: Line): string {
  let from = colon + 1;
  let to = end;
  while (from < to && (octets[from] === SP || octets[from] === HTAB)) from++;
  while (to > from && (octets[to - 1] === SP || octets[to - 1] === HTAB)) to--;
  return lowerCase(octets, from, to);
}

function lowerCase(octets: Uint8Array, from: number, to: number): string {
  let text = '';
  for (let at = from; at < to; at++) text += String.fromCharCode(octets[at]!);
  return text.toLowerCase();
}

function octetsOf(name: string): Uint8Array {
  return Uint8Array.from(name, (character) => character.charCodeAt(0));
}

const TE = octetsOf('te');
const HOST = octetsOf('host');
const EXPECT = octetsOf('expect');
const UPGRADE = octetsOf('upgrade');
const TRAILER = octetsOf('trailer');
const CONNECTION = octetsOf('connection');
const KEEP_ALIVE = octetsOf('keep-alive');
const CONTENT_LENGTH = octetsOf('content-length');
const HTTP2_SETTINGS = octetsOf('http2-settings');
const PROXY_CONNECTION = octetsOf('proxy-connection');
const COUNTERSIGN_FAILURE = octetsOf('countersign-failure');
const TRANSFER_ENCODING = octetsOf('transfer-encoding');
const [CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT] = identityFields.map(octetsOf) as [Uint8Array, Uint8Array, Uint8Array];
const endToEnd: ReadonlySet<string> = new Set(['authorization', 'content-length', 'content-type', 'cookie', 'host', 'set-cookie']);
const UNDERSCORE = 0x5f;
const HYPHEN = 0x2d;
/** What browsers and services send is below fifty; each one costs a line's work. */
const MAXIMUM_FIELDS = 256;
/** Below 2^53, so that it is counted exactly. */
const MAXIMUM_LENGTH_DIGITS = 15;
