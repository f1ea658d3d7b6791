import { contextConstructed, contextPrimitive, type DerReader, readNamedBits, tags } from './der.ts';
import { readGeneralNames, type SubjectAltNames } from './general-name.ts';
import { comparableName, type Name, type NameAttribute, nameBelow, readAttributes } from './name.ts';

/** DistributionPointName: names as they are, or attributes to be put below the name of the list's issuer (RFC 5280 section 4.2.1.13). */
export type PointName =
  | { readonly kind: 'full'; readonly names: SubjectAltNames }
  | { readonly kind: 'relative'; readonly attributes: readonly NameAttribute[] };

/** Where a certificate's status stands, and for which reasons; `reasons` is a mask as `reasonMask` makes it, null for all. */
export type DistributionPoint = {
  readonly name: PointName | null;
  readonly reasons: number | null;
  /** Who signs the list, where it is not the certificate's own issuer. */
  readonly crlIssuer: SubjectAltNames | null;
};

/** Reads CRLDistributionPoints, or FreshestCRL. @throws der-malformed */
export function readDistributionPoints(list: DerReader): readonly DistributionPoint[] {
  const points: DistributionPoint[] = [];
  if (list.done) list.complain('distribution points without a point');
  while (!list.done) {
    const point = list.enter(tags.sequence);
    const name = point.enterOptional(contextConstructed(0));
    const read = name && readPointName(name);
    const reasons = point.nextTag === contextPrimitive(1) ? readReasonMask(point, 1) : null;
    const crlIssuer = point.enterOptional(contextConstructed(2));
    const issuers = crlIssuer && readGeneralNames(crlIssuer);
    point.finish();
    // RFC 5280 section 4.2.1.13: never reasons alone.
    if (!read && !issuers) point.complain('a distribution point without name and issuer');
    points.push({ name: read, reasons, crlIssuer: issuers });
  }
  return points;
}

/** Reads the CHOICE inside its explicit tag. @throws der-malformed */
export function readPointName(name: DerReader): PointName {
  const full = name.enterOptional(contextConstructed(0));
  const found: PointName = full
    ? { kind: 'full', names: readGeneralNames(full) }
    : { kind: 'relative', attributes: readAttributes(name.enter(contextConstructed(1))) };
  name.finish();
  return found;
}

/** Reads ReasonFlags under `[number]`. @throws der-malformed */
export function readReasonMask(reader: DerReader, number: number): number {
  let mask = 0;
  for (const bit of readNamedBits(reader, contextPrimitive(number))) mask |= 1 << bit;
  return mask & ALL_REASONS;
}

/** Texts that are equal for equal names; a relative one is put below this issuer. */
export function comparablePoint(name: PointName, issuer: Name): readonly string[] {
  return name.kind === 'full' ? comparableNames(name.names) : [`directory ${comparableName(nameBelow(issuer, name.attributes))}`];
}

/** Texts that are equal for equal general names. */
export function comparableNames({ dns, ip, uri, email, directory, other }: SubjectAltNames): readonly string[] {
  return [
    ...directory.map((name) => `directory ${comparableName(name)}`),
    ...uri.map((name) => `uri ${name}`),
    ...dns.map((name) => `dns ${name.toLowerCase()}`),
    ...email.map((name) => `email ${name}`),
    ...ip.map((name) => `ip ${name}`),
    ...other.map(({ der }) => `other ${Buffer.from(der).toString('hex')}`),
  ];
}

/** Bits 1 to 8 of ReasonFlags; bit 0 is unused. */
export const ALL_REASONS = 0x1fe;
