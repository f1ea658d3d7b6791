import type { FieldBlock } from './field-block.ts';
import { HeadReader } from './head-reader.ts';
import { CR, LF } from './octet-classes.ts';

/** The trailer fields behind a chunked body: `octets` holds them from 0 to `end`. */
export type Trailers = { readonly fields: FieldBlock; readonly octets: Uint8Array; readonly at: number; readonly end: number };

/**
 * Decodes the chunked coding (RFC 9112 section 7.1) from octets in pieces of any size. Sizes are plain hexadecimal digits, extensions
 * are checked and dropped, trailer fields are checked and kept. Every size and count is bounded.
 */
export class ChunkReader {
  #state: 'size' | 'size-lf' | 'extension' | 'data' | 'data-cr' | 'data-lf' | 'trailers' | 'done' = 'size';
  #size = 0;
  #digits = 0;
  #extension: number[] = [];
  #extensionOctets = 0;
  #trailerReader: HeadReader<null> | null = null;
  trailers: Trailers | null = null;
  fault: string | null = null;
  /** The content of the piece given last, from `from` to `to`: of the piece itself where it lies in one run, else joined. */
  content: Uint8Array = EMPTY;
  from = 0;
  to = 0;

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Returns how far it read: to the end of the body or of the piece; -1 where it is refused. */
  read(octets: Uint8Array, from: number): number {
    this.content = octets;
    this.from = this.to = from;
    let at = from;
    while (at < octets.length && this.#state !== 'done') {
      if (this.#state === 'data') at = this.#readData(octets, at);
      else if (this.#state === 'trailers') at = this.#readTrailers(octets, at);
      else at = this.#readOctet(octets[at]!) ? at + 1 : -1;
      if (at === -1) return -1;
    }
    return at;
  }

  #readData(octets: Uint8Array, at: number): number {
    const length = Math.min(this.#size, octets.length - at);
    if (this.from === this.to) {
      this.from = at;
      this.to = at + length;
    } else {
      this.#join(octets, at, length);
    }
    this.#size -= length;
    if (this.#size === 0) this.#state = 'data-cr';
    return at + length;
  }

  #join(octets: Uint8Array, at: number, length: number): void {
    if (this.content === octets) {
      // Never more than the piece holds.
      const room = new Uint8Array(octets.length - this.from);
      room.set(octets.subarray(this.from, this.to));
      this.to -= this.from;
      this.from = 0;
      this.content = room;
    }
    if (length > SHORT) this.content.set(octets.subarray(at, at + length), this.to);
    else for (let index = 0; index < length; index++) this.content[this.to + index] = octets[at + index]!;
    this.to += length;
  }

  #readOctet(octet: number): boolean {
    switch (this.#state) {
      case 'size':
        return this.#readSizeOctet(octet);
      case 'size-lf':
        this.#state = this.#size === 0 ? 'trailers' : 'data';
        return octet === LF || this.#refuse('a bare CR behind a chunk size');
      case 'extension':
        return this.#readExtensionOctet(octet);
      case 'data-cr':
        this.#state = 'data-lf';
        return octet === CR || this.#refuse('a chunk that does not end where it said');
      default:
        this.#state = 'size';
        this.#size = this.#digits = 0;
        return octet === LF || this.#refuse('a chunk that does not end where it said');
    }
  }

  #readSizeOctet(octet: number): boolean {
    const digit = octet < hexDigits.length ? hexDigits[octet]! : -1;
    if (digit >= 0) {
      this.#digits += 1;
      this.#size = this.#size * 16 + digit;
      return this.#digits <= MAXIMUM_SIZE_DIGITS || this.#refuse('a chunk size of too many digits');
    }
    if (this.#digits === 0) return this.#refuse('a chunk size that is no number');
    if (octet === SEMICOLON) return ((this.#state = 'extension'), this.#extension.push(octet), true);
    this.#state = 'size-lf';
    return octet === CR || this.#refuse('a chunk size that is no number');
  }

  #readExtensionOctet(octet: number): boolean {
    this.#extensionOctets += 1;
    if (this.#extensionOctets > MAXIMUM_EXTENSION_OCTETS) return this.#refuse('too many chunk extensions');
    if (octet !== CR) return (this.#extension.push(octet), octet !== LF) || this.#refuse('a bare LF behind a chunk size');
    const extension = String.fromCharCode(...this.#extension);
    this.#extension = [];
    this.#state = 'size-lf';
    return EXTENSIONS.test(extension) || this.#refuse('an odd chunk extension');
  }

  #readTrailers(octets: Uint8Array, at: number): number {
    this.#trailerReader ??= new HeadReader(null, MAXIMUM_TRAILER_OCTETS);
    const reading = this.#trailerReader.read(octets, at);
    if (reading.kind === 'incomplete') return octets.length;
    if (reading.kind !== 'head') return this.#refuse(reading.because) || -1;
    const { fields, octets: held, fieldsAt, fieldsEnd } = reading.head;
    // RFC 9110 section 6.5.1 forbids them here. Whoever merges trailers into the head would find another end, host or connection in it.
    if (fields.hosts > 0 || fields.leftOut.some(({ why }) => why !== 'identity')) {
      return this.#refuse('a trailer field of framing, routing or the connection') || -1;
    }
    if (fields.count > 0) this.trailers = { fields, octets: held, at: fieldsAt, end: fieldsEnd };
    this.#state = 'done';
    return reading.next;
  }

  #refuse(fault: string): false {
    this.fault = fault;
    return false;
  }
}

const EMPTY: Uint8Array = new Uint8Array();
const hexDigits: Int8Array = Int8Array.from({ length: 128 }, (_, octet) => {
  const digit = Number.parseInt(String.fromCharCode(octet), 16);
  return Number.isNaN(digit) ? -1 : digit;
});
const SEMICOLON = 0x3b;
/** A native copy has a price of its own, which a few octets are not worth. */
const SHORT = 64;
/** 4 GiB in one chunk; nobody needs more, and it is counted exactly. */
const MAXIMUM_SIZE_DIGITS = 8;
/** Of one body together, as in Node: they are a way to make a server work for nothing. */
const MAXIMUM_EXTENSION_OCTETS = 16_384;
const MAXIMUM_TRAILER_OCTETS = 16_384;
/** RFC 9112 section 7.1.1, without white space and without a backslash in a quoted value. */
const EXTENSIONS = /^(?:;[!#$%&'*+.^_`|~\w-]+(?:=(?:[!#$%&'*+.^_`|~\w-]+|"[\t !#-[\]-~]*"))?)+$/;
