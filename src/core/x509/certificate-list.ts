import type { Instant } from '../time/instant.ts';
import { type Certificate, certificateKey } from './certificate.ts';
import {
  certificateListLimits,
  contextConstructed,
  contextPrimitive,
  type DerLimits,
  DerReader,
  equalOctets,
  hexOf,
  malformed,
  readDefaultFalse,
  readInteger,
  readOctetAlignedBits,
  readSmallInteger,
  tags,
} from './der.ts';
import { type PointName, readPointName, readReasonMask } from './distribution-point.ts';
import { type Extension, readExtensions } from './extensions.ts';
import { readGeneralNames, type SubjectAltNames } from './general-name.ts';
import { type Name, readName, sameName } from './name.ts';
import { oids } from './oid.ts';
import { readAlgorithmIdentifier, type SignatureAlgorithm, verifySignature } from './signature-algorithm.ts';
import { readTime } from './x509-time.ts';

/** Reasons of RFC 5280 section 5.3.1 by number; 7 is not used. */
export const crlReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;
export type CrlReason = keyof typeof crlReasons;

export type ListedCertificate = {
  /** Content octets of the serial INTEGER, the same as in the certificate, lower case hex. */
  readonly serialHex: string;
  readonly revokedAt: Instant;
  /** Absent in the list means unspecified. */
  readonly reason: CrlReason;
  /** Who issued the certificate, of an indirect list (RFC 5280 section 5.3.3); null: the issuer of the list. */
  readonly certificateIssuer: SubjectAltNames | null;
};

/** Issuing distribution point (RFC 5280 section 5.2.5). */
export type ListScope = {
  /** Null: no distribution point is named. */
  readonly name: PointName | null;
  readonly uris: readonly string[];
  readonly onlyUserCertificates: boolean;
  readonly onlyAuthorityCertificates: boolean;
  readonly onlyAttributeCertificates: boolean;
  /** A mask of reasons as `readReasonMask` makes it; null: all of them. */
  readonly reasons: number | null;
  readonly indirect: boolean;
};

/** The signed part of a certificate list (RFC 5280 section 5.1.2). */
export type TbsCertificateList = {
  readonly tbs: Uint8Array;
  /** Version 1 has no extensions; applications must process it (RFC 5280 section 5). */
  readonly version: 1 | 2;
  readonly issuer: Name;
  readonly thisUpdate: Instant;
  /** Null where the issuer left it out, which RFC 5280 forbids. */
  readonly nextUpdate: Instant | null;
  readonly revoked: readonly ListedCertificate[];
  readonly authorityKeyId: string | null;
  /** Content octets of the number, lower case hex. */
  readonly crlNumber: string | null;
  readonly scope: ListScope | null;
  /** Base number of a delta list, lower case hex; null for a complete one. */
  readonly deltaBase: string | null;
  readonly signatureAlgorithmDer: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  readonly extensions: readonly Extension[];
  /** Identifiers of critical extensions, of the list or of an entry, that are not processed here; such a list proves nothing. */
  readonly unknownCritical: readonly string[];
};

export type CertificateList = TbsCertificateList & { readonly der: Uint8Array; readonly signature: Uint8Array };

/** Parses a DER certificate list strictly. @throws der-malformed */
export function parseCertificateList(der: Uint8Array, limits: DerLimits = certificateListLimits): CertificateList {
  const reader = DerReader.over(der, limits);
  const outer = reader.rest();
  const body = reader.enter(tags.sequence);
  reader.finish();
  const fields = readTbsList(body);
  const algorithm = body.element(tags.sequence);
  const signature = readOctetAlignedBits(body);
  body.finish();
  if (!equalOctets(algorithm, fields.signatureAlgorithmDer)) throw malformed('signature algorithm inside and outside differ');
  return { ...fields, der: outer, signature };
}

/**
 * Parses a TBSCertList that stands alone, as before signing. If its entries begin with the octets `vetted`, which were parsed before, those are
 * passed over and `revoked` has what comes after them. @throws der-malformed
 */
export function parseTbsCertificateList(
  tbs: Uint8Array,
  limits: DerLimits = certificateListLimits,
  vetted: Uint8Array | null = null,
): TbsCertificateList {
  const reader = DerReader.over(tbs, limits);
  const fields = readTbsList(reader, vetted);
  reader.finish();
  return fields;
}

/** True if the authority signed the list, under its own name and with a key that may sign lists (RFC 5280 section 6.3.3 (f), (g)). */
export function isListSignedBy(list: CertificateList, issuer: Certificate): boolean {
  if (!sameName(list.issuer, issuer.subject) || issuer.keyUsage?.has('cRLSign') === false || list.signatureAlgorithm === null) return false;
  return verifySignature(list.signatureAlgorithm, certificateKey(issuer), list.tbs, list.signature);
}

function readTbsList(parent: DerReader, vetted: Uint8Array | null = null): TbsCertificateList {
  const start = parent.rest();
  const body = parent.enter(tags.sequence);
  const tbs = start.subarray(0, start.length - parent.rest().length);
  const version = readVersion(body);
  const signatureAlgorithmDer = body.element(tags.sequence);
  const issuer = readName(body);
  const thisUpdate = readTime(body);
  const nextUpdate = isTime(body.nextTag) ? readTime(body) : null;
  const unknownCritical = new Set<string>();
  const list = body.enterOptional(tags.sequence);
  const entries = readEntries(list === null || vetted === null ? list : afterVetted(list, vetted), unknownCritical);
  const wrapped = body.enterOptional(contextConstructed(0));
  body.finish();
  if (version === 1 && (wrapped || entries.extended)) throw malformed('extensions in a list of version 1');
  const extensions = wrapped ? readExtensions(wrapped.enter(tags.sequence)) : [];
  wrapped?.finish();
  for (const { oid, critical } of extensions) if (critical && !processed.has(oid)) unknownCritical.add(oid);
  const read = <T>(oid: string, parse: (reader: DerReader) => T): T | null => readOne(extensions, oid, parse);
  return {
    tbs,
    version,
    issuer,
    thisUpdate,
    nextUpdate,
    revoked: entries.revoked,
    authorityKeyId: read(oids.authorityKeyIdentifier, readKeyIdentifier),
    crlNumber: read(oids.crlNumber, (reader) => hexOf(readInteger(reader))),
    scope: read(oids.issuingDistributionPoint, readScope),
    deltaBase: read(oids.deltaCrlIndicator, (reader) => hexOf(readInteger(reader))),
    signatureAlgorithmDer,
    signatureAlgorithm: readAlgorithmIdentifier(signatureAlgorithmDer),
    extensions,
    unknownCritical: [...unknownCritical],
  };
}

function readOne<T>(extensions: readonly Extension[], oid: string, parse: (reader: DerReader) => T): T | null {
  const extension = extensions.find((candidate) => candidate.oid === oid);
  if (!extension) return null;
  const reader = DerReader.over(extension.value);
  const value = parse(reader);
  reader.finish();
  return value;
}

/** Absent means version 1 (RFC 5280 section 5.1.2.1). */
function readVersion(body: DerReader): 1 | 2 {
  if (body.nextTag !== tags.integer) return 1;
  if (readSmallInteger(body) !== 1) throw malformed('version of the list is neither 1 nor 2');
  return 2;
}

/** `extended`: an entry has extensions, which need version 2. */
type ListEntries = { readonly revoked: readonly ListedCertificate[]; readonly extended: boolean };

function readEntries(list: DerReader | null, unknownCritical: Set<string>): ListEntries {
  if (!list) return { revoked: [], extended: false };
  // RFC 5280 section 5.1.2.6: absent when there are none.
  if (list.done) throw malformed('an empty list of revoked certificates');
  const revoked: ListedCertificate[] = [];
  let extended = false;
  let certificateIssuer: SubjectAltNames | null = null;
  while (!list.done) {
    const entry = list.enter(tags.sequence);
    const serialHex = hexOf(readInteger(entry));
    const revokedAt = readTime(entry);
    extended ||= !entry.done;
    const alone = readReasonAlone(entry.rest());
    if (alone !== null) {
      revoked.push({ serialHex, revokedAt, reason: alone, certificateIssuer });
      continue;
    }
    const extensions = entry.done ? [] : readExtensions(entry.enter(tags.sequence));
    entry.finish();
    for (const { oid, critical } of extensions) if (critical && !processedOfEntry.has(oid)) unknownCritical.add(oid);
    // It stays so until an entry says otherwise.
    certificateIssuer = readOne(extensions, oids.certificateIssuer, readIssuerNames) ?? certificateIssuer;
    revoked.push({ serialHex, revokedAt, reason: readOne(extensions, oids.reasonCode, readReason) ?? 'unspecified', certificateIssuer });
  }
  return { revoked, extended };
}

/** The entries behind those that were read before; null: there are none. */
function afterVetted(list: DerReader, vetted: Uint8Array): DerReader | null {
  const octets = list.rest();
  if (vetted.length === 0 || octets.length < vetted.length) return list;
  if (Buffer.compare(octets.subarray(0, vetted.length), vetted) !== 0) return list;
  return octets.length === vetted.length ? null : DerReader.over(octets.subarray(vetted.length), certificateListLimits);
}

/** The reason, if these octets are the one extension that most entries have, not critical; null: they are anything else. */
function readReasonAlone(extensions: Uint8Array): CrlReason | null {
  if (extensions.length !== REASON_ALONE.length + 1) return null;
  for (let at = 0; at < REASON_ALONE.length; at++) if (extensions[at] !== REASON_ALONE[at]) return null;
  return reasonNames.get(extensions[REASON_ALONE.length]!) ?? null;
}

function readIssuerNames(reader: DerReader): SubjectAltNames {
  return readGeneralNames(reader.enter(tags.sequence));
}

function readReason(reader: DerReader): CrlReason {
  const number = readSmallInteger(reader, tags.enumerated);
  const reason = reasonNames.get(number);
  if (!reason) throw malformed(`revocation reason ${number}`);
  return reason;
}

function readKeyIdentifier(reader: DerReader): string | null {
  const body = reader.enter(tags.sequence);
  const keyId = body.contentOptional(contextPrimitive(0));
  while (!body.done) body.element();
  return keyId && hexOf(keyId);
}

function readScope(reader: DerReader): ListScope {
  const body = reader.enter(tags.sequence);
  // RFC 5280 section 5.2.5: never an empty sequence.
  if (body.done) throw malformed('an issuing distribution point that says nothing');
  const wrapped = body.enterOptional(contextConstructed(0));
  const name = wrapped && readPointName(wrapped);
  const scope = {
    name,
    uris: name?.kind === 'full' ? name.names.uri : [],
    onlyUserCertificates: readDefaultFalse(body, contextPrimitive(1)),
    onlyAuthorityCertificates: readDefaultFalse(body, contextPrimitive(2)),
    reasons: body.nextTag === contextPrimitive(3) ? readReasonMask(body, 3) : null,
    indirect: readDefaultFalse(body, contextPrimitive(4)),
    onlyAttributeCertificates: readDefaultFalse(body, contextPrimitive(5)),
  };
  body.finish();
  return scope;
}

function isTime(tag: number): boolean {
  return tag === tags.utcTime || tag === tags.generalizedTime;
}

const reasonNames = new Map(Object.entries(crlReasons).map(([name, number]) => [number as number, name as CrlReason]));
const processed: ReadonlySet<string> = new Set([
  oids.authorityKeyIdentifier,
  oids.crlNumber,
  oids.issuingDistributionPoint,
  oids.deltaCrlIndicator,
]);
const processedOfEntry: ReadonlySet<string> = new Set([oids.reasonCode, oids.certificateIssuer]);
/** `SEQUENCE { SEQUENCE { id-ce-cRLReasons, OCTET STRING { ENUMERATED` up to the one octet of the reason. */
const REASON_ALONE = Uint8Array.of(0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01);
