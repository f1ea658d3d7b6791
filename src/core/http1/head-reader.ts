import { FieldBlock } from './field-block.ts';
import { CR, LF } from './octet-classes.ts';

/** A whole head: its start line as it was read, and where it lies. */
export type Head<Start> = {
  readonly start: Start;
  readonly fields: FieldBlock;
  /** Holds the head; the field lines lie from `fieldsAt` to `fieldsEnd`. */
  readonly octets: Uint8Array;
  readonly fieldsAt: number;
  readonly fieldsEnd: number;
};

export type HeadReading<Start> =
  /** `next`: where the body begins in the octets given last. */
  | { readonly kind: 'head'; readonly head: Head<Start>; readonly next: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed' | 'too-large'; readonly because: string };

/** Reads a start line from `from` to `to`, without its CRLF; null if it is none. */
export type ReadStart<Start> = (octets: Uint8Array, from: number, to: number) => Start | null;

/**
 * Reads one head after another from octets that come in pieces of any size. A head that comes whole is read in place; one that does
 * not is kept until it is, within the bound. The work is linear in the octets, whatever the pieces.
 */
export class HeadReader<Start> {
  readonly #readStart: ReadStart<Start> | null;
  readonly #maximumOctets: number;
  #held: Uint8Array | null = null;
  #heldLength = 0;
  #start: Start | null = null;
  #fields = new FieldBlock();
  #fieldsAt = 0;
  /** Where the line begins that is not read yet. */
  #lineAt = 0;
  #sawEmptyLine = false;

  /** Without `readStart` there is no start line: so a trailer section is read. */
  constructor(readStart: ReadStart<Start> | null, maximumOctets: number = MAXIMUM_HEAD_OCTETS) {
    this.#readStart = readStart;
    this.#maximumOctets = maximumOctets;
  }

  /** True between heads. */
  get isEmpty(): boolean {
    return this.#held === null;
  }

  read(octets: Uint8Array, from: number): HeadReading<Start> {
    if (this.#held === null) {
      this.#lineAt = this.#fieldsAt = from;
      return this.#advance({ octets, origin: from, limit: octets.length, shift: 0 });
    }
    const before = this.#heldLength;
    this.#hold(octets, from, octets.length);
    // Nothing more can be said of a line until its end is there.
    if (!this.#held.subarray(before, this.#heldLength).includes(LF) && this.#heldLength <= this.#maximumOctets) return INCOMPLETE;
    return this.#advance({ octets: this.#held, origin: 0, limit: this.#heldLength, shift: from - before });
  }

  #advance(piece: Piece): HeadReading<Start> {
    const { octets, origin, limit, shift } = piece;
    while (true) {
      const at = this.#lineAt;
      if (at - origin > this.#maximumOctets) return TOO_LARGE;
      if (this.#start === null && this.#readStart !== null) {
        const next = this.#readStartLine(this.#readStart, octets, { at, limit });
        if (next === -2) return { kind: 'malformed', because: 'the start line' };
        if (next === -1) return this.#wait(piece);
        this.#lineAt = next;
        continue;
      }
      if (octets[at] === CR && at < limit) {
        if (at + 1 >= limit) return this.#wait(piece);
        if (octets[at + 1] !== LF) return { kind: 'malformed', because: 'a bare CR' };
        return { kind: 'head', head: this.#take(octets, at), next: at + 2 + shift };
      }
      const next = this.#fields.readLine(octets, at, limit);
      if (next === -2) return { kind: 'malformed', because: this.#fields.fault! };
      if (next === -1) return this.#wait(piece);
      this.#lineAt = next;
    }
  }

  /** Where the line behind it begins; -1 if it is not whole, -2 if it is none. */
  #readStartLine(readStart: ReadStart<Start>, octets: Uint8Array, { at, limit }: { readonly at: number; readonly limit: number }): number {
    const end = octets.indexOf(LF, at);
    if (end === -1 || end >= limit) return -1;
    if (end === at || octets[end - 1] !== CR) return -2;
    // RFC 9112 section 2.2: one empty line before a start line is ignored.
    if (end === at + 1) return this.#sawEmptyLine ? -2 : ((this.#sawEmptyLine = true), end + 1);
    this.#start = readStart(octets, at, end - 1);
    this.#fieldsAt = end + 1;
    return this.#start === null ? -2 : end + 1;
  }

  #take(octets: Uint8Array, fieldsEnd: number): Head<Start> {
    const head = { start: this.#start!, fields: this.#fields, octets, fieldsAt: this.#fieldsAt, fieldsEnd };
    head.fields.finish(octets, head.fieldsAt, fieldsEnd);
    this.#held = null;
    this.#heldLength = 0;
    this.#forget();
    return head;
  }

  #wait({ octets, origin, limit }: Piece): HeadReading<Start> {
    if (limit - origin > this.#maximumOctets) return TOO_LARGE;
    if (this.#held === null) {
      // All places noted so far lie elsewhere from now on, so the head is read anew, once.
      this.#hold(octets, origin, limit);
      this.#forget();
    }
    return INCOMPLETE;
  }

  #forget(): void {
    this.#start = null;
    this.#fields = new FieldBlock();
    this.#fieldsAt = this.#lineAt = 0;
    this.#sawEmptyLine = false;
  }

  /** Keeps as much as can belong to a head within the bound, in room that doubles. */
  #hold(octets: Uint8Array, from: number, to: number): void {
    const length = Math.min(to - from, this.#maximumOctets + 1 - this.#heldLength);
    const needed = this.#heldLength + length;
    if (this.#held === null || this.#held.length < needed) {
      const room = new Uint8Array(Math.max(needed, (this.#held?.length ?? 0) * 2, SMALLEST_ROOM));
      if (this.#held !== null) room.set(this.#held.subarray(0, this.#heldLength));
      this.#held = room;
    }
    this.#held.set(octets.subarray(from, from + length), this.#heldLength);
    this.#heldLength = needed;
  }
}

/** Where a reading goes on: `shift` leads from a place in `octets` to the same place in the octets given last. */
type Piece = { readonly octets: Uint8Array; readonly origin: number; readonly limit: number; readonly shift: number };

const INCOMPLETE = { kind: 'incomplete' } as const;
const TOO_LARGE = { kind: 'too-large', because: 'the head' } as const;
/** What nginx and Envoy take by default and a little more, for identity fields of a hop before. */
export const MAXIMUM_HEAD_OCTETS = 65_536;
const SMALLEST_ROOM = 512;
