import {
  contextConstructed,
  contextPrimitive,
  type DerLimits,
  DerReader,
  hexOf,
  malformed,
  readDefaultFalse,
  readNamedBits,
  readSmallInteger,
  tags,
} from './der.ts';
import { type DistributionPoint, readDistributionPoints } from './distribution-point.ts';
import { countNames, noNames, readGeneralNames, type SubjectAltNames } from './general-name.ts';
import { type NameConstraints, readNameConstraints } from './name-constraints.ts';
import { oids, readOid } from './oid.ts';

/** One extension as it stands: identifier, criticality, the octets inside its OCTET STRING. */
export type Extension = { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array };

export type BasicConstraints = { readonly ca: boolean; readonly pathLength: number | null };

/** Bits of KeyUsage in their order (RFC 5280 section 4.2.1.3). */
export const keyUsageBits = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsageBit = (typeof keyUsageBits)[number];

/** What the extensions say that this house reads; null where the extension is absent. */
export type KnownExtensions = {
  readonly basicConstraints: BasicConstraints | null;
  readonly keyUsage: ReadonlySet<KeyUsageBit> | null;
  /** Purposes as dotted identifiers. */
  readonly extendedKeyUsage: readonly string[] | null;
  /** Empty lists where the extension is absent. */
  readonly subjectAltNames: SubjectAltNames;
  /** keyIdentifier of the authority, lower case hex. */
  readonly authorityKeyId: string | null;
  /** Lower case hex. */
  readonly subjectKeyId: string | null;
  readonly nameConstraints: NameConstraints | null;
  readonly distributionPoints: readonly DistributionPoint[];
  /** URIs of all distribution points, in order. */
  readonly crlDistributionPoints: readonly string[];
};

/** Reads `[3] EXPLICIT Extensions` or the extensions of a request; each at most once (RFC 5280 section 4.2). @throws der-malformed */
export function readExtensions(list: DerReader): Extension[] {
  const extensions: Extension[] = [];
  const seen = new Set<string>();
  if (list.done) list.complain('extensions without an extension');
  while (!list.done) {
    const item = list.enter(tags.sequence);
    const id = readOid(item);
    const critical = readDefaultFalse(item);
    const value = item.content(tags.octetString);
    item.finish();
    if (seen.has(id)) list.complain(`extension ${id} twice`);
    seen.add(id);
    extensions.push({ oid: id, critical, value });
  }
  return extensions;
}

/** @throws der-malformed when an extension that is known here does not have its form */
export function readKnownExtensions(extensions: readonly Extension[], limits?: DerLimits): KnownExtensions {
  const known: { -readonly [K in keyof KnownExtensions]: KnownExtensions[K] } = {
    basicConstraints: null,
    keyUsage: null,
    extendedKeyUsage: null,
    subjectAltNames: noNames,
    authorityKeyId: null,
    subjectKeyId: null,
    nameConstraints: null,
    distributionPoints: [],
    crlDistributionPoints: [],
  };
  for (const { oid, value } of extensions) {
    const reader = DerReader.over(value, limits);
    switch (oid) {
      case oids.basicConstraints:
        known.basicConstraints = readBasicConstraints(reader);
        break;
      case oids.keyUsage:
        known.keyUsage = readKeyUsage(reader);
        break;
      case oids.extendedKeyUsage:
        known.extendedKeyUsage = readPurposes(reader);
        break;
      case oids.subjectAltName:
        known.subjectAltNames = readGeneralNames(reader.enter(tags.sequence));
        break;
      case oids.authorityKeyIdentifier:
        known.authorityKeyId = readAuthorityKeyId(reader);
        break;
      case oids.subjectKeyIdentifier:
        known.subjectKeyId = hexOf(reader.content(tags.octetString));
        break;
      case oids.nameConstraints:
        known.nameConstraints = readNameConstraints(reader);
        break;
      case oids.crlDistributionPoints:
        known.distributionPoints = readDistributionPoints(reader.enter(tags.sequence));
        known.crlDistributionPoints = known.distributionPoints.flatMap(({ name }) => (name?.kind === 'full' ? name.names.uri : []));
        break;
      default:
        continue;
    }
    reader.finish();
  }
  return known;
}

function readBasicConstraints(reader: DerReader): BasicConstraints {
  const body = reader.enter(tags.sequence);
  const ca = readDefaultFalse(body);
  const pathLength = body.nextTag === tags.integer ? readSmallInteger(body) : null;
  body.finish();
  return { ca, pathLength };
}

function readKeyUsage(reader: DerReader): ReadonlySet<KeyUsageBit> {
  const usages = new Set<KeyUsageBit>();
  for (const bit of readNamedBits(reader)) {
    const usage = keyUsageBits[bit];
    if (usage) usages.add(usage);
    else reader.complain(`key usage bit ${bit}`);
  }
  if (usages.size === 0) reader.complain('key usage without a bit');
  return usages;
}

function readPurposes(reader: DerReader): readonly string[] {
  const list = reader.enter(tags.sequence);
  const purposes: string[] = [];
  while (!list.done) purposes.push(readOid(list));
  if (purposes.length === 0) reader.complain('extended key usage without a purpose');
  return purposes;
}

/** Only keyIdentifier is of use; authorityCertIssuer and serial come together or not at all (RFC 5280 section 4.2.1.1). */
function readAuthorityKeyId(reader: DerReader): string | null {
  const body = reader.enter(tags.sequence);
  const keyId = body.contentOptional(contextPrimitive(0));
  const issuer = body.enterOptional(contextConstructed(1));
  if (issuer) readGeneralNames(issuer);
  const serial = body.contentOptional(contextPrimitive(2));
  body.finish();
  if ((issuer === null) !== (serial === null)) reader.complain('authority key identifier with issuer or serial alone');
  return keyId && hexOf(keyId);
}

/** One access description: how, and where if the place is a URI (RFC 5280 section 4.2.2). */
export type Access = { readonly method: string; readonly uri: string | null };

/** Reads an authority or subject information access extension. @throws der-malformed */
export function readAccess(extension: Extension): readonly Access[] {
  const reader = DerReader.over(extension.value);
  const list = reader.enter(tags.sequence);
  reader.finish();
  const found: Access[] = [];
  if (list.done) throw malformed('information access without a description');
  while (!list.done) {
    const description = list.enter(tags.sequence);
    const method = readOid(description);
    const location = readGeneralNames(description);
    if (countNames(location) !== 1) throw malformed('an access description without one location');
    found.push({ method, uri: location.uri[0] ?? null });
  }
  return found;
}
