import type { RefusalReason } from '../tls/refusal-reason.ts';
import type { Instant } from '../time/instant.ts';
import { type Certificate, findExtension } from './certificate.ts';
import { breaksNameConstraints, type ComparisonBudget } from './match-name-constraints.ts';
import { sameName } from './name.ts';
import { oids } from './oid.ts';

/** Which side of TLS the leaf's holder is. */
export type PathUsage = 'client' | 'server';

export type PathFault = { readonly reason: RefusalReason; readonly detail: string };

/**
 * Judges one complete path, leaf first and anchor last, whose signatures and names already chain (RFC 5280 section 6.1).
 * The anchor's own constraints count too (RFC 5937). Null: no fault.
 */
export function judgePath(now: Instant, path: readonly Certificate[], usage: PathUsage, budget: ComparisonBudget): PathFault | null {
  const anchor = path.length - 1;
  for (let index = anchor; index >= 0; index--) {
    const certificate = path[index]!;
    const fault =
      judgeForm(certificate, index === anchor) ??
      (index === 0 ? judgeLeaf(certificate, path.length > 1) : judgeAuthority(path, index)) ??
      judgeNames(path, index, budget) ??
      judgeValidity(now, certificate) ??
      judgePurpose(certificate, usage);
    if (fault) return { reason: fault.reason, detail: `${fault.detail} (certificate ${index + 1} of ${path.length}, leaf first)` };
  }
  return null;
}

function judgeForm(certificate: Certificate, isAnchor: boolean): PathFault | null {
  const [critical] = certificate.unknownCritical;
  if (critical !== undefined) return invalid(`critical extension ${critical} is not understood`);
  // Critical or not: only they can demand an explicit policy, and the policy graph (RFC 9618) is not computed here.
  if (findExtension(certificate, oids.policyConstraints)) return invalid('policy constraints cannot be fulfilled');
  // Old roots have serial 0; what makes them trusted is that somebody put them there.
  if (isAnchor) return null;
  if (certificate.serial.length > MAX_SERIAL_OCTETS) return invalid('serial number longer than 20 octets');
  if (certificate.serial.every((octet) => octet === 0)) return invalid('serial number zero');
  return null;
}

/** A leaf with a path above it is no authority (SPIFFE X509-SVID section 4.1; CA/B BR 7.1.2.7). */
function judgeLeaf(leaf: Certificate, issued: boolean): PathFault | null {
  if (issued && leaf.basicConstraints?.ca === true) return invalid('the leaf is a certification authority');
  if (leaf.keyUsage?.has('keyCertSign') === true && leaf.basicConstraints?.ca !== true) return invalid('keyCertSign without cA');
  // TLS 1.3, and TLS 1.2 with forward secrecy, sign with the key (RFC 8446 section 4.4.2.2).
  if (leaf.keyUsage && !leaf.keyUsage.has('digitalSignature')) return { reason: 'wrong-usage', detail: 'key usage lacks digitalSignature' };
  return null;
}

/** RFC 5280 section 6.1.4 (k) to (n). Version 1 is good enough for an anchor, which is verified by other means. */
function judgeAuthority(path: readonly Certificate[], index: number): PathFault | null {
  const authority = path[index]!;
  const isAnchor = index === path.length - 1;
  if (authority.version !== 3) return isAnchor ? null : invalid(`authority of version ${authority.version}`);
  if (authority.basicConstraints?.ca !== true) return invalid('issued by a certificate that is no authority');
  if (authority.keyUsage && !authority.keyUsage.has('keyCertSign')) return invalid('issued by a certificate without keyCertSign');
  const { pathLength } = authority.basicConstraints;
  if (pathLength === null) return null;
  const below = path.slice(1, index).filter((certificate) => !isSelfIssued(certificate)).length;
  return below > pathLength ? invalid(`path length ${below}, expected at most ${pathLength}`) : null;
}

/** Each certificate's names against the constraints of every authority above it; self-issued authorities are exempt (section 6.1.3). */
function judgeNames(path: readonly Certificate[], index: number, budget: ComparisonBudget): PathFault | null {
  const certificate = path[index]!;
  if (index > 0 && isSelfIssued(certificate)) return null;
  for (const { nameConstraints } of path.slice(index + 1)) {
    const broken = nameConstraints && breaksNameConstraints(certificate, nameConstraints, budget);
    if (broken !== null) return invalid(broken);
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
function judgePurpose({ extendedKeyUsage }: Certificate, usage: PathUsage): PathFault | null {
  if (extendedKeyUsage === null) return null;
  const purpose = usage === 'client' ? oids.clientAuth : oids.serverAuth;
  if (extendedKeyUsage.includes(purpose) || extendedKeyUsage.includes(oids.anyExtendedKeyUsage)) return null;
  return { reason: 'wrong-usage', detail: `extended key usage lacks ${usage} authentication` };
}

export function isSelfIssued(certificate: Certificate): boolean {
  return sameName(certificate.issuer, certificate.subject);
}

function invalid(detail: string): PathFault {
  return { reason: 'chain-invalid', detail };
}

/** RFC 5280 section 4.1.2.2. */
const MAX_SERIAL_OCTETS = 20;
