import { Problem } from '../problems/problem.ts';
import { type Certificate, findExtension } from './certificate.ts';
import { readAccess } from './extensions.ts';
import { isEmptyName, sameName } from './name.ts';
import { oids } from './oid.ts';
import type { PathFault } from './path-fault.ts';

/**
 * What RFC 5280 section 4 demands of every conforming certificate while section 6 does not look at it. What the NIST test suite for
 * section 6 has valid (other forms of time, negative serial numbers, basic constraints of an issued authority that are not critical)
 * stays valid; an anchor, which section 6 does not validate at all, is held to section 4 alone. Null: no fault.
 */
export function judgeConformance(certificate: Certificate, standing: Omit<Standing, 'certificate'>): PathFault | null {
  const broken = conformanceRules.find(({ breaks }) => breaks({ certificate, ...standing }));
  return broken ? { reason: 'chain-invalid', detail: `${broken.says} (${broken.clause})` } : null;
}

/**
 * `statusOrPolicy`: lists are given, or something is demanded of policies. Who asks that runs section 6 with inputs of his own, over
 * certificates that need not be of this century: what decides nothing there (key identifiers, criticality) is not missed then.
 */
type Standing = {
  readonly certificate: Certificate;
  readonly leaf: boolean;
  readonly anchor: boolean;
  readonly statusOrPolicy: boolean;
};
type ConformanceRule = { readonly clause: string; readonly says: string; readonly breaks: (standing: Standing) => boolean };

/** Every rule, for documents. */
export const conformanceRules: readonly ConformanceRule[] = [
  { clause: 'RFC 5280 section 4.1.2.4', says: 'issuer is empty', breaks: ({ certificate }) => isEmptyName(certificate.issuer) },
  {
    clause: 'RFC 5280 section 4.1.2.6',
    says: 'an authority with an empty subject',
    breaks: ({ certificate }) => isAuthority(certificate) && isEmptyName(certificate.subject),
  },
  {
    clause: 'RFC 5280 section 4.2.1.6',
    says: 'an empty subject without critical alternative name',
    breaks: ({ certificate }) => isEmptyName(certificate.subject) && findExtension(certificate, oids.subjectAltName)?.critical !== true,
  },
  {
    clause: 'RFC 5280 section 4.2.1.1',
    says: 'no key identifier of the authority',
    breaks: ({ certificate, anchor, statusOrPolicy }) =>
      certificate.version === 3 &&
      certificate.authorityKeyId === null &&
      (findExtension(certificate, oids.authorityKeyIdentifier) !== null ||
        (!statusOrPolicy && !anchor && !sameName(certificate.issuer, certificate.subject))),
  },
  {
    clause: 'RFC 5280 section 4.2.1.1',
    says: "a root's key identifiers differ",
    breaks: ({ certificate: { issuer, subject, authorityKeyId, subjectKeyId }, anchor }) =>
      anchor && sameName(issuer, subject) && authorityKeyId !== null && subjectKeyId !== null && authorityKeyId !== subjectKeyId,
  },
  {
    clause: 'RFC 5280 section 4.2.1.2',
    says: 'an authority without subject key identifier',
    breaks: ({ certificate, statusOrPolicy }) => !statusOrPolicy && isAuthority(certificate) && certificate.subjectKeyId === null,
  },
  {
    clause: 'RFC 5280 section 4.2.1.9',
    says: 'basic constraints of an anchor are not critical',
    breaks: ({ certificate, anchor }) => anchor && isAuthority(certificate) && isUncritical(certificate, oids.basicConstraints),
  },
  {
    clause: 'RFC 5280 section 4.2.1.9',
    says: 'keyCertSign without cA',
    breaks: ({ certificate, statusOrPolicy }) =>
      !statusOrPolicy && !isAuthority(certificate) && certificate.version === 3 && certificate.keyUsage?.has('keyCertSign') === true,
  },
  {
    clause: 'RFC 5280 section 4.2.1.9',
    says: 'path length without cA',
    breaks: ({ certificate: { basicConstraints } }) => basicConstraints?.ca === false && basicConstraints.pathLength !== null,
  },
  {
    clause: 'RFC 5280 section 4.2.1.10',
    says: 'name constraints outside an authority',
    // Not critical they count all the same: CA/B BR 7.1.2.5.2 has them so, and many authorities are.
    breaks: ({ certificate }) => certificate.nameConstraints !== null && !isAuthority(certificate),
  },
  {
    clause: 'RFC 5280 section 4.2.1.11',
    says: 'policy constraints are not critical',
    // RFC 3280 allowed it, and the NIST suite relies on it: who asks about policies or lists gets them processed, critical or not.
    breaks: ({ certificate, statusOrPolicy }) => !statusOrPolicy && isUncritical(certificate, oids.policyConstraints),
  },
  {
    clause: 'RFC 5280 section 4.2.1.14',
    says: 'inhibitAnyPolicy is not critical',
    breaks: ({ certificate }) => isUncritical(certificate, oids.inhibitAnyPolicy),
  },
  { clause: 'RFC 5280 section 4.2.2', says: 'information access is malformed', breaks: ({ certificate }) => hasBadAccess(certificate) },
  {
    clause: 'RFC 9608 section 4',
    says: 'noRevAvail in an authority',
    breaks: ({ certificate }) => isAuthority(certificate) && findExtension(certificate, oids.noRevAvail) !== null,
  },
  {
    clause: 'CA/B BR 6.1.5',
    says: 'an RSA modulus that is not a whole number of octets',
    breaks: ({ certificate: { publicKey } }) => publicKey.kind === 'rsa' && publicKey.bits % 8 !== 0,
  },
];

function isAuthority({ basicConstraints }: Certificate): boolean {
  return basicConstraints?.ca === true;
}

function isUncritical(certificate: Certificate, oid: string): boolean {
  return findExtension(certificate, oid)?.critical === false;
}

function hasBadAccess(certificate: Certificate): boolean {
  return [oids.authorityInfoAccess, oids.subjectInfoAccess].some((oid) => {
    const extension = findExtension(certificate, oid);
    if (!extension) return false;
    try {
      readAccess(extension);
      return false;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return true;
    }
  });
}
