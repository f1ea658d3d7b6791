import { DerReader, equalOctets, malformed, tags } from './der.ts';
import { constructed, type DerNode, encodeDer, oid, primitive, sequence, utf8String } from './der-writer.ts';
import { oids, readOid } from './oid.ts';

/** A distinguished name: its DER, its text (RFC 4514, for people and logs only), and its attributes in order. */
export type Name = {
  readonly der: Uint8Array;
  readonly text: string;
  readonly rdns: readonly (readonly NameAttribute[])[];
};

export type NameAttribute = {
  readonly type: string;
  readonly tag: number;
  /** The text of a known string type, else null. */
  readonly value: string | null;
  readonly octets: Uint8Array;
};

/** Reads `Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }` (RFC 5280 section 4.1.2.4). @throws der-malformed */
export function readName(reader: DerReader): Name {
  const start = reader.rest();
  const list = reader.enter(tags.sequence);
  const der = start.subarray(0, start.length - reader.rest().length);
  const rdns: (readonly NameAttribute[])[] = [];
  while (!list.done) {
    rdns.push(readAttributes(list.enter(tags.set)));
  }
  if (rdns.length > MAX_RDNS) throw malformed(`a name of ${rdns.length} parts, expected at most ${MAX_RDNS}`);
  return {
    der,
    rdns,
    get text() {
      return textOf(rdns);
    },
  };
}

/** Reads the attributes of one part of a name. @throws der-malformed */
export function readAttributes(set: DerReader): readonly NameAttribute[] {
  const attributes: NameAttribute[] = [];
  while (!set.done) attributes.push(readAttribute(set));
  if (attributes.length === 0) set.complain('a name part without attributes');
  return attributes;
}

/** The name with one more part below it; for comparison only, as it has no encoding. */
export function nameBelow(name: Name, attributes: readonly NameAttribute[]): Name {
  const rdns = [...name.rdns, attributes];
  return { der: new Uint8Array(), text: textOf(rdns), rdns };
}

/** Reads a Name that stands alone. @throws der-malformed */
export function parseName(der: Uint8Array): Name {
  const reader = DerReader.over(der);
  const name = readName(reader);
  reader.finish();
  return name;
}

function readAttribute(set: DerReader): NameAttribute {
  const pair = set.enter(tags.sequence);
  const type = readOid(pair);
  const tag = pair.nextTag;
  const element = tag < 0 ? new Uint8Array() : pair.content(tag);
  if (tag < 0) throw malformed('a name attribute without value');
  pair.finish();
  return { type, tag, value: decodeText(set, tag, element), octets: element };
}

/** The text of a string of a known type, else null. @throws der-malformed */
export function decodeText(reader: DerReader, tag: number, octets: Uint8Array): string | null {
  switch (tag) {
    case tags.utf8String:
      try {
        return utf8.decode(octets);
      } catch {
        reader.complain('a UTF8String that is not UTF-8');
        return latin1(octets);
      }
    case tags.printableString:
    case tags.ia5String:
      if (octets.some((octet) => octet > 0x7f)) reader.complain('a string with octets above 7f');
      return latin1(octets);
    case tags.teletexString:
      return latin1(octets);
    case tags.bmpString:
      if (octets.length % 2 !== 0) reader.complain('a BMPString of odd length');
      return utf16.decode(octets);
    case tags.universalString:
      return universalText(reader, octets);
    default:
      return null;
  }
}

/** Four octets a character, most significant first (X.690 section 8.23.7). */
function universalText(reader: DerReader, octets: Uint8Array): string {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  let text = '';
  for (let at = 0; at + 4 <= octets.length; at += 4) {
    const character = view.getUint32(at);
    if (character > 0x10ffff) reader.complain('a UniversalString with what is no character');
    else text += String.fromCodePoint(character);
  }
  if (octets.length % 4 !== 0) reader.complain('a UniversalString that is not of whole characters');
  return text;
}

/** Makes a name of UTF8String parts, one attribute each, in the order given. No part at all makes the empty name. */
export function buildName(parts: readonly (readonly [type: string, value: string])[]): Name {
  return parseName(encodeDer(nameNode(parts)));
}

export function nameNode(parts: readonly (readonly [type: string, value: string])[]): DerNode {
  return sequence(
    ...parts.map(([type, value]) => {
      // PrintableString for countries (RFC 5280 appendix A.1: X520countryName), IA5String for domain components.
      const text =
        type === oids.country
          ? primitive(tags.printableString, value)
          : type === oids.domainComponent
            ? primitive(tags.ia5String, value)
            : utf8String(value);
      return constructed(tags.set, [sequence(oid(type), text)]);
    }),
  );
}

export function isEmptyName(name: Name): boolean {
  return name.rdns.length === 0;
}

/**
 * RFC 5280 section 7.1: the same attributes in the same order; strings compare without regard to case, form of string and width of
 * white space, everything else octet by octet.
 */
export function sameName(a: Name, b: Name): boolean {
  return equalOctets(a.der, b.der) || comparableName(a) === comparableName(b);
}

/** True if `name` starts with all the parts of `base` (directoryName constraints, RFC 5280 section 4.2.1.10). */
export function isWithinName(name: Name, base: Name): boolean {
  const [parts, wanted] = [comparableParts(name), comparableParts(base)];
  return parts.length >= wanted.length && wanted.every((part, index) => part === parts[index]);
}

/** The same text for names that RFC 5280 section 7.1 calls the same. Kept per name: trust bundles are searched by name at each handshake. */
export function comparableName(name: Name): string {
  const kept = comparable.get(name);
  if (kept !== undefined) return kept;
  const text = JSON.stringify(comparableParts(name));
  comparable.set(name, text);
  return text;
}

/** Kept per name too: a hostile chain has each name compared with each constraint. */
function comparableParts(name: Name): readonly string[] {
  const kept = partsOf.get(name);
  if (kept) return kept;
  const parts = name.rdns.map((rdn) => JSON.stringify(rdn.map(comparableAttribute).toSorted()));
  partsOf.set(name, parts);
  return parts;
}

function comparableAttribute({ type, tag, value, octets }: NameAttribute): string {
  if (value === null) return `${type} ${tag} ${Buffer.from(octets).toString('hex')}`;
  return `${type}=${value.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim()}`;
}

function textOf(rdns: Name['rdns']): string {
  return rdns.map((rdn) => rdn.map(attributeText).join('+')).join(',');
}

function attributeText({ type, value, octets }: NameAttribute): string {
  const shown = value === null ? `#${Buffer.from(octets).toString('hex')}` : value.replaceAll(/[,+"\\<>;=]|^[ #]| $/g, String.raw`\$&`);
  return `${shortNames.get(type) ?? type}=${shown}`;
}

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
}

const comparable = new WeakMap<Name, string>();
const partsOf = new WeakMap<Name, readonly string[]>();
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf16 = new TextDecoder('utf-16be');
const MAX_RDNS = 64;
const shortNames = new Map<string, string>([
  [oids.commonName, 'CN'],
  [oids.country, 'C'],
  [oids.locality, 'L'],
  [oids.state, 'ST'],
  [oids.street, 'STREET'],
  [oids.organization, 'O'],
  [oids.organizationalUnit, 'OU'],
  [oids.domainComponent, 'DC'],
  [oids.userId, 'UID'],
]);
