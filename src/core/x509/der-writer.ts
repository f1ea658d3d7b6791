import { contextConstructed, tags } from './der.ts';
import { encodeOid } from './oid.ts';

/**
 * A DER element before it is written: its length is known, so a whole document is written in one pass into one buffer.
 * `tag` -1 marks octets that are an encoding already.
 */
export type DerNode = {
  readonly tag: number;
  /** Octets of the content alone. */
  readonly contentLength: number;
  /** Octets of identifier, length and content. */
  readonly length: number;
  readonly content: Uint8Array | string | readonly DerNode[];
};

/** Writes the document into a buffer of exactly its size. */
export function encodeDer(node: DerNode): Uint8Array {
  const out = new Uint8Array(node.length);
  write(out, node, 0);
  return out;
}

/** An element with content octets, or with Latin-1 text of which each character is one octet. */
export function primitive(tag: number, content: Uint8Array | string): DerNode {
  return node(tag, content.length, content);
}

export function constructed(tag: number, children: readonly DerNode[]): DerNode {
  let contentLength = 0;
  for (const child of children) contentLength += child.length;
  return node(tag, contentLength, children);
}

export function sequence(...children: readonly DerNode[]): DerNode {
  return constructed(tags.sequence, children);
}

/** `[number] EXPLICIT`. */
export function explicit(number: number, child: DerNode): DerNode {
  return constructed(contextConstructed(number), [child]);
}

/** Octets that are one or more whole DER elements already. */
export function raw(encoding: Uint8Array): DerNode {
  return { tag: RAW, contentLength: encoding.length, length: encoding.length, content: encoding };
}

export function octetString(content: Uint8Array): DerNode {
  return primitive(tags.octetString, content);
}

/** An OCTET STRING around another element, as extensions have it. */
export function octetStringAround(child: DerNode): DerNode {
  return constructed(tags.octetString, [child]);
}

/** A BIT STRING of whole octets. */
export function bitString(content: Uint8Array): DerNode {
  return constructed(tags.bitString, [ZERO_OCTET, raw(content)]);
}

/** A named bit list, written without trailing zero bits (X.690 section 11.2.2). */
export function namedBits(bits: Iterable<number>, tag: number = tags.bitString): DerNode {
  const set = [...bits];
  const highest = Math.max(-1, ...set);
  const content = new Uint8Array(1 + ((highest + 8) >> 3));
  content[0] = highest < 0 ? 0 : 7 - (highest & 7);
  for (const bit of set) content[1 + (bit >> 3)]! |= 0x80 >> (bit & 7);
  return primitive(tag, content);
}

/** An INTEGER from unsigned big-endian octets; leading zeros are dropped and the sign octet added where DER needs it. */
export function unsignedInteger(magnitude: Uint8Array): DerNode {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const octets = magnitude.subarray(start);
  if (octets.length === 0) return primitive(tags.integer, '\0');
  return octets[0]! < 0x80 ? primitive(tags.integer, octets) : constructed(tags.integer, [ZERO_OCTET, raw(octets)]);
}

/** A non-negative INTEGER below 2^53. */
export function smallInteger(value: number, tag: number = tags.integer): DerNode {
  const octets: number[] = [];
  let left = value;
  do {
    octets.unshift(left % 256);
    left = Math.floor(left / 256);
  } while (left > 0);
  if (octets[0]! >= 0x80) octets.unshift(0);
  return primitive(tag, Uint8Array.from(octets));
}

export function boolean(value: boolean): DerNode {
  return primitive(tags.boolean, value ? '\xff' : '\0');
}

export function oid(dotted: string): DerNode {
  return raw(encodeOid(dotted));
}

export function nullValue(): DerNode {
  return NULL;
}

export function utf8String(text: string): DerNode {
  return primitive(tags.utf8String, utf8.encode(text));
}

function node(tag: number, contentLength: number, content: DerNode['content']): DerNode {
  return { tag, contentLength, length: contentLength + headerLength(contentLength), content };
}

function headerLength(contentLength: number): number {
  if (contentLength < 0x80) return 2;
  if (contentLength < 0x100) return 3;
  if (contentLength < 0x10000) return 4;
  return contentLength < 0x1000000 ? 5 : 6;
}

function write(out: Uint8Array, { tag, contentLength, length, content }: DerNode, start: number): void {
  let at = start;
  if (tag !== RAW) {
    out[at++] = tag;
    const lengthOctets = length - contentLength - 2;
    if (lengthOctets > 0) out[at++] = 0x80 | lengthOctets;
    for (let shift = Math.max(0, lengthOctets - 1) * 8; shift >= 0; shift -= 8) out[at++] = contentLength >>> shift;
  }
  if (typeof content === 'string') {
    for (let i = 0; i < content.length; i++) out[at + i] = content.charCodeAt(i);
  } else if (content instanceof Uint8Array) {
    // Below some thirty octets a loop is faster than the call into the engine.
    if (content.length > 32) out.set(content, at);
    else for (let i = 0; i < content.length; i++) out[at + i] = content[i]!;
  } else {
    for (const child of content) {
      write(out, child, at);
      at += child.length;
    }
  }
}

const RAW = -1;
const utf8 = new TextEncoder();
const ZERO_OCTET = raw(Uint8Array.of(0));
const NULL = raw(Uint8Array.of(tags.null, 0));
