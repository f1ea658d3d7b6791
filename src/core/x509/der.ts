import { Problem } from '../problems/problem.ts';

/**
 * A cursor over strict DER (X.690 section 10): definite, minimal lengths, low tag numbers, nothing left over.
 * It copies nothing: what it returns are views of the source. All cursors of one document share its budget of elements.
 */
export class DerReader {
  readonly #source: Uint8Array;
  readonly #budget: ReadBudget;
  readonly #depth: number;
  readonly #end: number;
  #offset: number;

  private constructor(source: Uint8Array, start: number, end: number, depth: number, budget: ReadBudget) {
    this.#source = source;
    this.#offset = start;
    this.#end = end;
    this.#depth = depth;
    this.#budget = budget;
  }

  /** Opens a document. @throws der-malformed when it is larger than the limit allows */
  static over(source: Uint8Array, limits: DerLimits = certificateLimits): DerReader {
    if (source.length > limits.maxOctets) throw malformed(`${source.length} octets, expected at most ${limits.maxOctets}`);
    const plain = new Uint8Array(source.buffer, source.byteOffset, source.length);
    return new DerReader(plain, 0, plain.length, limits.maxDepth, { left: limits.maxElements, faults: limits.faults });
  }

  get done(): boolean {
    return this.#offset === this.#end;
  }

  /** The identifier octet of the next element, or -1 at the end. */
  get nextTag(): number {
    return this.#offset < this.#end ? this.#source[this.#offset]! : -1;
  }

  /** Enters the next element, which must be constructed and have this tag. @throws der-malformed */
  enter(tag: number): DerReader {
    const start = this.#header(tag);
    if ((tag & CONSTRUCTED) === 0) throw malformed(`tag ${hex(tag)} is primitive, expected a constructed one`);
    if (this.#depth === 0) throw malformed('nested too deep');
    const inner = new DerReader(this.#source, start, this.#offset, this.#depth - 1, this.#budget);
    return inner;
  }

  /** Enters the next element if it has this tag. @throws der-malformed */
  enterOptional(tag: number): DerReader | null {
    return this.nextTag === tag ? this.enter(tag) : null;
  }

  /** The content octets of the next element, which must have this tag. @throws der-malformed */
  content(tag: number): Uint8Array {
    const start = this.#header(tag);
    return this.#source.subarray(start, this.#offset);
  }

  contentOptional(tag: number): Uint8Array | null {
    return this.nextTag === tag ? this.content(tag) : null;
  }

  /** The next element whole, with its identifier and length octets. @throws der-malformed */
  element(tag = this.nextTag): Uint8Array {
    const start = this.#offset;
    this.#header(tag);
    return this.#source.subarray(start, this.#offset);
  }

  /** All that is left, unread. */
  rest(): Uint8Array {
    return this.#source.subarray(this.#offset, this.#end);
  }

  /** @throws der-malformed when elements are left */
  finish(): void {
    if (this.#offset !== this.#end) throw malformed(`${this.#end - this.#offset} octets left over`);
  }

  /** For a fault that leaves no doubt what is meant: noted where the limits ask for it, and else as any other. @throws der-malformed */
  complain(found: string): void {
    const { faults } = this.#budget;
    if (!faults) throw malformed(found);
    faults.push(found);
  }

  /** Steps over the next element and returns where its content starts. */
  #header(expected: number): number {
    const source = this.#source;
    let at = this.#offset;
    if (at + 2 > this.#end) throw malformed(`ends where ${hex(expected)} is expected`);
    const tag = source[at++]!;
    if (tag !== expected) throw malformed(`tag ${hex(tag)}, expected ${hex(expected)}`);
    if ((tag & 0x1f) === 0x1f) throw malformed('high tag number, which no structure of X.509 has');
    let length = source[at++]!;
    if (length > 0x7f) {
      const octets = length & 0x7f;
      // 0x80 is the indefinite form; five octets would be more than any limit here.
      if (octets === 0 || octets > 4 || at + octets > this.#end) throw malformed('indefinite, cut or oversized length');
      if (source[at] === 0) throw malformed('length not minimal');
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + source[at++]!;
      if (length < 0x80) throw malformed('length not minimal');
    }
    if (at + length > this.#end) throw malformed(`length ${length}, expected at most ${this.#end - at}`);
    if (--this.#budget.left < 0) throw malformed('too many elements');
    this.#offset = at + length;
    return at;
  }
}

/** How much of a document is read: octets, nesting, and elements visited. */
export type DerLimits = {
  readonly maxOctets: number;
  readonly maxDepth: number;
  readonly maxElements: number;
  /** Where a lint wants to read on: faults of form are noted here that leave no doubt what is meant. Never for what is to be trusted. */
  readonly faults?: string[];
};

type ReadBudget = { left: number; readonly faults: string[] | undefined };

/** Certificates and requests: post-quantum chains need more than 16 KiB; nothing honest needs more names than this. */
export const certificateLimits: DerLimits = { maxOctets: 262_144, maxDepth: 16, maxElements: 20_000 };

/** Certificate lists: some 700,000 entries of 40 octets. */
export const certificateListLimits: DerLimits = { maxOctets: 33_554_432, maxDepth: 16, maxElements: 6_000_000 };

/** Identifier octets (X.690 section 8.1.2). */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` of the context class, constructed (explicit tags, implicit sequences). */
export function contextConstructed(number: number): number {
  return 0xa0 | number;
}

/** `[n]` of the context class, primitive (implicit strings and the like). */
export function contextPrimitive(number: number): number {
  return 0x80 | number;
}

/** @throws der-malformed unless 00 or ff (X.690 section 11.1) */
export function readBoolean(reader: DerReader, tag: number = tags.boolean): boolean {
  const octets = reader.content(tag);
  if (octets.length !== 1 || (octets[0] !== 0 && octets[0] !== 0xff)) throw malformed('boolean is neither 00 nor ff');
  return octets[0] === 0xff;
}

/** `BOOLEAN DEFAULT FALSE`: DER never writes the default (X.690 section 11.5). @throws der-malformed */
export function readDefaultFalse(reader: DerReader, tag: number = tags.boolean): boolean {
  if (reader.nextTag !== tag) return false;
  if (readBoolean(reader, tag)) return true;
  reader.complain('default FALSE is written out');
  return false;
}

/** The content octets of an INTEGER, minimal two's complement (X.690 section 8.3.2). @throws der-malformed */
export function readInteger(reader: DerReader, tag: number = tags.integer): Uint8Array {
  const octets = reader.content(tag);
  const first = octets[0];
  if (first === undefined) throw malformed('integer without octets');
  if (octets.length > 1 && ((first === 0 && octets[1]! < 0x80) || (first === 0xff && octets[1]! >= 0x80))) {
    throw malformed('integer not minimal');
  }
  return octets;
}

/** A non-negative INTEGER below 2^31. @throws der-malformed */
export function readSmallInteger(reader: DerReader, tag: number = tags.integer): number {
  const octets = readInteger(reader, tag);
  if (octets.length > 4 || octets[0]! >= 0x80) throw malformed('integer negative or too large');
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

/** The octets of a BIT STRING that is a whole number of octets (signatures, keys). @throws der-malformed */
export function readOctetAlignedBits(reader: DerReader): Uint8Array {
  const octets = reader.content(tags.bitString);
  if (octets[0] !== 0) throw malformed('bit string not a whole number of octets');
  return octets.subarray(1);
}

/** The numbers of the bits set in a named bit list: no trailing zero bit (X.690 section 11.2.2). @throws der-malformed */
export function readNamedBits(reader: DerReader, tag: number = tags.bitString): readonly number[] {
  const octets = reader.content(tag);
  const unused = octets[0];
  if (unused === undefined || unused > 7 || octets.length > MAX_NAMED_BIT_OCTETS) throw malformed('bit string malformed');
  if (octets.length === 1) {
    if (unused !== 0) throw malformed('empty bit string with unused bits');
    return [];
  }
  const last = octets[octets.length - 1]!;
  if ((last & ((1 << unused) - 1)) !== 0 || (last >> unused) % 2 === 0) reader.complain('named bits not minimal');
  const bits: number[] = [];
  for (let bit = 0; bit < (octets.length - 1) * 8; bit++) {
    if (octets[1 + (bit >> 3)]! & (0x80 >> (bit & 7))) bits.push(bit);
  }
  return bits;
}

/** True if both hold the same octets. */
export function equalOctets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Lower case hex. */
export function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex');
}

/** A Problem `der-malformed` that says what was found. */
export function malformed(found: string): Problem {
  return new Problem('der-malformed', `Cannot parse DER: ${found}`);
}

function hex(tag: number): string {
  return `0x${(tag & 0xff).toString(16).padStart(2, '0')}`;
}

const CONSTRUCTED = 0x20;
const MAX_NAMED_BIT_OCTETS = 9;
