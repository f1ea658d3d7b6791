import type { Instant } from '../time/instant.ts';
import type { Certificate } from './certificate.ts';
import type { KeyUsageBit } from './extensions.ts';
import { judgeConformance } from './judge-conformance.ts';
import { judgePolicies, type PolicyDemands } from './judge-policies.ts';
import { breaksNameConstraints, type ComparisonBudget } from './match-name-constraints.ts';
import { sameName } from './name.ts';
import { oids } from './oid.ts';
import type { PathFault } from './path-fault.ts';
import { isUsableKey } from './public-key.ts';
import { purposeUsages } from './purpose-usages.ts';

/** What the path has to be good for. */
export type PathDemands = {
  /** Purposes that every certificate with extended key usage must allow, dotted. */
  readonly purposes: readonly string[];
  /** Bits that the leaf must have where it has key usage at all. */
  readonly keyUsage: readonly KeyUsageBit[];
  /** True: an issued leaf that is an authority is refused, as in TLS (SPIFFE X509-SVID section 4.1, CA/B BR 7.1.2.7). */
  readonly endEntity: boolean;
  readonly policies: PolicyDemands;
  /** True: certificate lists are consulted, so that critical distribution points are acted upon. */
  readonly revocation: boolean;
  /** Authorities between leaf and anchor that are not self-issued (RFC 5280 section 6.1.2 (k)); null: only the limits count. */
  readonly maxDepth: number | null;
  /**
   * `validation`: RFC 5280 section 6. `profile`: also what section 4 demands of every conforming certificate and section 6 does not look at.
   */
  readonly conformance: 'validation' | 'profile';
};

/** Work that judging may still cause, shared over all paths tried. */
export type JudgeBudget = { readonly names: ComparisonBudget; readonly policies: { left: number } };

/**
 * Judges one complete path, leaf first and anchor last, whose signatures and names already chain (RFC 5280 section 6.1).
 * The anchor's own constraints count too (RFC 5937). Null: no fault.
 */
export function judgePath(now: Instant, path: readonly Certificate[], demands: PathDemands, budget: JudgeBudget): PathFault | null {
  const anchor = path.length - 1;
  for (let index = anchor; index >= 0; index--) {
    const place = { leaf: index === 0, anchor: index === anchor };
    const certificate = path[index]!;
    const fault =
      judgeCertificate(now, certificate, demands, place) ??
      judgePathLength(path, index) ??
      judgeNames(path, index, budget.names) ??
      judgePurposes(certificate, demands.purposes);
    if (fault) return { reason: fault.reason, detail: `${fault.detail} (certificate ${index + 1} of ${path.length}, leaf first)` };
  }
  return judgeDepth(path, demands.maxDepth) ?? judgePolicies(path, demands.policies, budget.policies);
}

/** Where a certificate stands in a path; a leaf that is itself an anchor is both. */
export type Place = { readonly leaf: boolean; readonly anchor: boolean };

/** All that can be said of a certificate without the rest of its path, purposes apart. Null: no fault. */
export function judgeCertificate(now: Instant, certificate: Certificate, demands: PathDemands, place: Place): PathFault | null {
  return (
    judgeForm(certificate, demands, place) ??
    (place.leaf ? judgeLeaf(certificate, demands, place) : judgeAuthority(certificate, place)) ??
    judgeValidity(now, certificate) ??
    (demands.conformance === 'profile' ? judgeConformance(certificate, { ...place, statusOrPolicy: asksStatusOrPolicy(demands) }) : null)
  );
}

function asksStatusOrPolicy({ revocation, policies: { initial, explicit, inhibitMapping, inhibitAny } }: PathDemands): boolean {
  return revocation || initial !== 'any' || explicit || inhibitMapping || inhibitAny;
}

function judgeForm(certificate: Certificate, { revocation }: PathDemands, { anchor }: Place): PathFault | null {
  const critical = certificate.unknownCritical.find((oid) => !(revocation && oid === oids.crlDistributionPoints));
  if (critical !== undefined) return invalid(`critical extension ${critical} is not understood`);
  if (!isUsableKey(certificate.publicKey)) return invalid('a public key that is too weak, too large or of no kind that is used here');
  // Old roots have serial 0; what makes them trusted is that somebody put them there.
  if (anchor) return null;
  if (certificate.serial.length > MAX_SERIAL_OCTETS) return invalid('serial number longer than 20 octets');
  if (certificate.serial.every((octet) => octet === 0)) return invalid('serial number zero');
  return null;
}

function judgeLeaf(leaf: Certificate, { endEntity, keyUsage, purposes }: PathDemands, { anchor }: Place): PathFault | null {
  const isAuthority = leaf.basicConstraints?.ca === true;
  if (endEntity && isAuthority && !anchor) return invalid('the leaf is a certification authority');
  // SPIFFE X509-SVID section 4.3; for others it is a matter of conformance.
  if (endEntity && leaf.keyUsage?.has('keyCertSign') === true && !isAuthority) return invalid('keyCertSign without cA');
  if (leaf.keyUsage === null) return null;
  const { keyUsage: bits } = leaf;
  const missing = keyUsage.find((bit) => !bits.has(bit));
  if (missing !== undefined) return { reason: 'wrong-usage', detail: `key usage lacks ${missing}` };
  // What the key may do and what the certificate is for have to fit, where it says both (RFC 5280 section 4.2.1.12).
  const purpose = leaf.extendedKeyUsage && purposes.find((oid) => purposeUsages.get(oid)?.some((bit) => bits.has(bit)) === false);
  return purpose ? { reason: 'wrong-usage', detail: `key usage allows nothing that ${nameOf(purpose)} needs` } : null;
}

/** RFC 5280 section 6.1.4 (k), (n). Version 1 is good enough for an anchor, which is verified by other means. */
function judgeAuthority(authority: Certificate, { anchor }: Place): PathFault | null {
  if (authority.version !== 3) return anchor ? null : invalid(`authority of version ${authority.version}`);
  if (authority.basicConstraints?.ca !== true) return invalid('issued by a certificate that is no authority');
  if (authority.keyUsage && !authority.keyUsage.has('keyCertSign')) return invalid('issued by a certificate without keyCertSign');
  return null;
}

/** RFC 5280 section 6.1.4 (l), (m). */
function judgePathLength(path: readonly Certificate[], index: number): PathFault | null {
  const pathLength = index === 0 ? null : (path[index]!.basicConstraints?.pathLength ?? null);
  if (pathLength === null) return null;
  const below = path.slice(1, index).filter((certificate) => !isSelfIssued(certificate)).length;
  return below > pathLength ? invalid(`path length ${below}, expected at most ${pathLength}`) : null;
}

function judgeDepth(path: readonly Certificate[], maxDepth: number | null): PathFault | null {
  if (maxDepth === null) return null;
  const depth = path.slice(1, -1).filter((certificate) => !isSelfIssued(certificate)).length;
  return depth > maxDepth ? invalid(`${depth} authorities below the anchor, expected at most ${maxDepth}`) : null;
}

/** Each certificate's names against the constraints of every authority above it; self-issued authorities are exempt (section 6.1.3). */
function judgeNames(path: readonly Certificate[], index: number, budget: ComparisonBudget): PathFault | null {
  const certificate = path[index]!;
  if (index > 0 && isSelfIssued(certificate)) return null;
  for (const { nameConstraints } of path.slice(index + 1)) {
    const broken = nameConstraints && breaksNameConstraints(certificate, nameConstraints, budget);
    if (broken !== null) return budget.left < 0 ? { reason: 'limit-exceeded', detail: broken } : invalid(broken);
  }
  return null;
}

function judgeValidity(now: Instant, { notBefore, notAfter }: Certificate): PathFault | null {
  // The validity has whole seconds and includes its last one (RFC 5280 section 4.1.2.5).
  const second = Math.floor(now / 1000) * 1000;
  if (second < notBefore) return { reason: 'not-yet-valid', detail: 'before its notBefore' };
  return second > notAfter ? { reason: 'expired', detail: 'past its notAfter' } : null;
}

/** Extended key usage of an authority limits what is below it (CA/B BR 7.1.2.2; every TLS implementation chains it). */
export function judgePurposes({ extendedKeyUsage }: Certificate, purposes: readonly string[]): PathFault | null {
  if (extendedKeyUsage === null || extendedKeyUsage.includes(oids.anyExtendedKeyUsage)) return null;
  const missing = purposes.find((purpose) => !extendedKeyUsage.includes(purpose));
  return missing === undefined ? null : { reason: 'wrong-usage', detail: `extended key usage lacks ${nameOf(missing)}` };
}

function nameOf(purpose: string): string {
  return purposeNames.get(purpose) ?? purpose;
}

export function isSelfIssued(certificate: Certificate): boolean {
  return sameName(certificate.issuer, certificate.subject);
}

function invalid(detail: string): PathFault {
  return { reason: 'chain-invalid', detail };
}

/** RFC 5280 section 4.1.2.2. */
const MAX_SERIAL_OCTETS = 20;
const purposeNames: ReadonlyMap<string, string> = new Map([
  [oids.serverAuth, 'server authentication'],
  [oids.clientAuth, 'client authentication'],
]);
