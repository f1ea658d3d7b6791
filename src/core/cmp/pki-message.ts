import { contextConstructed, DerReader, malformed, readOctetAlignedBits, tags } from '../x509/der.ts';
import { bitString, constructed, type DerNode, encodeDer, explicit, raw, sequence } from '../x509/der-writer.ts';
import { cmpMessageLimits, MAXIMUM_EXTRA_CERTIFICATES } from './cmp-limits.ts';
import { type PkiHeader, readPkiHeader } from './pki-header.ts';

/** The bodies by the number of their tag (RFC 9810 section 5.1.2). */
export const bodyKinds = [
  'ir',
  'ip',
  'cr',
  'cp',
  'p10cr',
  'popdecc',
  'popdecr',
  'kur',
  'kup',
  'krr',
  'krp',
  'rr',
  'rp',
  'ccr',
  'ccp',
  'ckuann',
  'cann',
  'rann',
  'crlann',
  'pkiconf',
  'nested',
  'genm',
  'genp',
  'error',
  'certConf',
  'pollReq',
  'pollRep',
] as const;
export type BodyKind = (typeof bodyKinds)[number];

/** A message taken apart, views of its octets; nothing about it is verified. The body is read when it is known who sent it. */
export type PkiMessage = {
  readonly header: PkiHeader;
  readonly kind: BodyKind;
  /** The element inside the tag of the body, DER. */
  readonly body: Uint8Array;
  /** DER of `ProtectedPart`, header and body: what is protected. */
  readonly protectedPart: Uint8Array;
  /** Null: the message is not protected. */
  readonly protection: Uint8Array | null;
  /** Certificates, DER, unread. */
  readonly extraCertificates: readonly Uint8Array[];
};

/** Reads a PKIMessage (RFC 9810 section 5.1). @throws der-malformed */
export function readPkiMessage(der: Uint8Array): PkiMessage {
  const outer = DerReader.over(der, cmpMessageLimits);
  const message = outer.enter(tags.sequence);
  outer.finish();
  const start = message.rest();
  const header = readPkiHeader(message);
  const tag = message.nextTag;
  const kind = tag >= contextConstructed(0) ? bodyKinds[tag - contextConstructed(0)] : undefined;
  if (kind === undefined) throw malformed('a message without a body that is known');
  const wrapped = message.enter(tag);
  const body = wrapped.element();
  wrapped.finish();
  const protectedOctets = start.subarray(0, start.length - message.rest().length);
  const holder = message.enterOptional(contextConstructed(0));
  const protection = holder === null ? null : readOctetAlignedBits(holder);
  holder?.finish();
  const extraCertificates = readExtraCertificates(message);
  message.finish();
  return { header, kind, body, protectedPart: encodeDer(sequence(raw(protectedOctets))), protection, extraCertificates };
}

function readExtraCertificates(message: DerReader): readonly Uint8Array[] {
  const holder = message.enterOptional(contextConstructed(1));
  if (holder === null) return [];
  const list = holder.enter(tags.sequence);
  holder.finish();
  const found: Uint8Array[] = [];
  while (!list.done) {
    if (found.length === MAXIMUM_EXTRA_CERTIFICATES) throw malformed(`more than ${MAXIMUM_EXTRA_CERTIFICATES} extra certificates`);
    found.push(list.element(tags.sequence));
  }
  return found;
}

/** Header and body, ready to be protected. */
export type UnprotectedMessage = { readonly header: Uint8Array; readonly body: Uint8Array; readonly protectedPart: Uint8Array };

export function unprotectedMessage(header: DerNode, kind: BodyKind, content: DerNode): UnprotectedMessage {
  const parts = { header: encodeDer(header), body: encodeDer(explicit(bodyKinds.indexOf(kind), content)) };
  return { ...parts, protectedPart: encodeDer(sequence(raw(parts.header), raw(parts.body))) };
}

/** The whole message. */
export function assemblePkiMessage(
  { header, body }: UnprotectedMessage,
  protection: Uint8Array | null,
  extraCertificates: readonly Uint8Array[],
): Uint8Array {
  return encodeDer(
    sequence(
      raw(header),
      raw(body),
      ...(protection === null ? [] : [explicit(0, bitString(protection))]),
      ...(extraCertificates.length === 0 ? [] : [explicit(1, constructed(tags.sequence, extraCertificates.map(raw)))]),
    ),
  );
}
