import type { Instant } from '../time/instant.ts';
import { contextConstructed, type DerReader, malformed, readInteger, tags } from '../x509/der.ts';
import { constructed, type DerNode, explicit, octetString, oid, raw, sequence, smallInteger } from '../x509/der-writer.ts';
import { DIRECTORY_NAME, readDirectoryName } from '../x509/general-name.ts';
import type { Name } from '../x509/name.ts';
import { readOid } from '../x509/oid.ts';
import { generalizedTime, readGeneralizedTime } from '../x509/x509-time.ts';
import { MAXIMUM_ITEMS, MAXIMUM_KEY_ID_OCTETS, MAXIMUM_NONCE_OCTETS } from './cmp-limits.ts';

/** InfoTypeAndValue: what it is about, and the whole DER of its value; null where it has none. */
export type InfoItem = { readonly type: string; readonly value: Uint8Array | null };

/** PKIHeader (RFC 9810 section 5.1.1); what is absent is null. Its freeText is for nobody here. */
export type PkiHeader = {
  readonly version: number;
  /** Null: no directory name, so nobody whom we know. */
  readonly sender: Name | null;
  readonly recipient: Name | null;
  readonly messageTime: Instant | null;
  /** AlgorithmIdentifier, DER. */
  readonly protectionAlgorithm: Uint8Array | null;
  readonly senderKeyId: Uint8Array | null;
  readonly transactionId: Uint8Array | null;
  readonly senderNonce: Uint8Array | null;
  readonly recipientNonce: Uint8Array | null;
  readonly info: readonly InfoItem[];
};

/** @throws der-malformed */
export function readPkiHeader(reader: DerReader): PkiHeader {
  const body = reader.enter(tags.sequence);
  const version = readVersion(body);
  const sender = readParty(body);
  const recipient = readParty(body);
  const messageTime = readWrapped(body, 0, readGeneralizedTime);
  const protectionAlgorithm = readWrapped(body, 1, (inner) => inner.element(tags.sequence));
  const senderKeyId = readOctets(body, 2, MAXIMUM_KEY_ID_OCTETS);
  readOctets(body, 3, MAXIMUM_KEY_ID_OCTETS);
  const transactionId = readOctets(body, 4, MAXIMUM_NONCE_OCTETS);
  const senderNonce = readOctets(body, 5, MAXIMUM_NONCE_OCTETS);
  const recipientNonce = readOctets(body, 6, MAXIMUM_NONCE_OCTETS);
  readWrapped(body, 7, (inner) => inner.element(tags.sequence));
  const info = readWrapped(body, 8, readInfoItems) ?? [];
  body.finish();
  return {
    version,
    sender,
    recipient,
    messageTime,
    protectionAlgorithm,
    senderKeyId,
    transactionId,
    senderNonce,
    recipientNonce,
    info,
  };
}

/** Reads a sequence of InfoTypeAndValue. @throws der-malformed */
export function readInfoItems(reader: DerReader): readonly InfoItem[] {
  const list = reader.enter(tags.sequence);
  const items: InfoItem[] = [];
  while (!list.done) {
    if (items.length === MAXIMUM_ITEMS) throw malformed(`more than ${MAXIMUM_ITEMS} items of information`);
    const item = list.enter(tags.sequence);
    const type = readOid(item);
    items.push({ type, value: item.done ? null : item.element() });
    item.finish();
  }
  return items;
}

/** What is sent; both parties are directory names. */
export type AnswerHeader = {
  readonly version: 2 | 3;
  readonly sender: Name;
  readonly recipient: Name;
  readonly messageTime: Instant;
  readonly protectionAlgorithm: Uint8Array | null;
  readonly senderKeyId: Uint8Array | null;
  readonly transactionId: Uint8Array;
  readonly senderNonce: Uint8Array;
  readonly recipientNonce: Uint8Array | null;
  readonly info: readonly DerNode[];
};

export function pkiHeaderNode(header: AnswerHeader): DerNode {
  const { protectionAlgorithm, senderKeyId, recipientNonce, info } = header;
  return sequence(
    smallInteger(header.version),
    partyNode(header.sender),
    partyNode(header.recipient),
    explicit(0, generalizedTime(header.messageTime)),
    ...(protectionAlgorithm === null ? [] : [explicit(1, raw(protectionAlgorithm))]),
    ...(senderKeyId === null ? [] : [explicit(2, octetString(senderKeyId))]),
    explicit(4, octetString(header.transactionId)),
    explicit(5, octetString(header.senderNonce)),
    ...(recipientNonce === null ? [] : [explicit(6, octetString(recipientNonce))]),
    ...(info.length === 0 ? [] : [explicit(8, sequence(...info))]),
  );
}

/** `InfoTypeAndValue`; no value at all where there is none. */
export function infoNode(type: string, ...value: readonly DerNode[]): DerNode {
  return sequence(oid(type), ...value);
}

function partyNode(name: Name): DerNode {
  return constructed(DIRECTORY_NAME, [raw(name.der)]);
}

/** Versions are small numbers; another one is answered, so it is read. */
function readVersion(body: DerReader): number {
  const octets = readInteger(body);
  return octets.length === 1 && octets[0]! < 0x80 ? octets[0]! : Number.POSITIVE_INFINITY;
}

function readParty(body: DerReader): Name | null {
  if (body.nextTag === DIRECTORY_NAME) return readDirectoryName(body);
  body.element();
  return null;
}

function readOctets(body: DerReader, number: number, most: number): Uint8Array | null {
  return readWrapped(body, number, (inner) => {
    const octets = inner.content(tags.octetString);
    if (octets.length > most) throw malformed(`an id of ${octets.length} octets, expected at most ${most}`);
    return octets;
  });
}

/** `[number] EXPLICIT … OPTIONAL`. */
function readWrapped<T>(body: DerReader, number: number, read: (inner: DerReader) => T): T | null {
  const wrapped = body.enterOptional(contextConstructed(number));
  if (wrapped === null) return null;
  const value = read(wrapped);
  wrapped.finish();
  return value;
}
