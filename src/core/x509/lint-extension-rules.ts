import { findExtension, type TbsCertificate } from './certificate.ts';
import { equalOctets } from './der.ts';
import { type KeyUsageBit, readAccess } from './extensions.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { isEmptyName } from './name.ts';
import { oids } from './oid.ts';

/** Rules of the extensions other than names. */
export const extensionRules: readonly LintRule[] = [
  {
    id: 'basic-constraints',
    clause: 'RFC 5280 section 4.2.1.9',
    find: ({ tbs }) => {
      if (!isCritical(tbs, oids.basicConstraints)) return 'basic constraints are absent or not critical';
      return unless(isAuthority(tbs) || tbs.basicConstraints?.pathLength === null, 'path length without cA');
    },
  },
  {
    id: 'key-usage',
    clause: 'RFC 5280 section 4.2.1.3',
    find: ({ tbs }) => {
      if (!isCritical(tbs, oids.keyUsage)) return 'key usage is absent or not critical';
      return judgeKeyUsage(tbs, tbs.keyUsage ?? new Set());
    },
  },
  {
    id: 'extended-key-usage',
    clause: 'RFC 5280 section 4.2.1.12, CA/B BR 7.1.2.7.10',
    find: ({ tbs, issuer }) => {
      const purposes = tbs.extendedKeyUsage;
      if (purposes === null) return unless(issuer === null, 'extended key usage is absent');
      if (purposes.includes(oids.anyExtendedKeyUsage)) return 'anyExtendedKeyUsage';
      return unless(new Set(purposes).size === purposes.length, 'a purpose twice');
    },
  },
  {
    id: 'purposes-within-issuer',
    clause: 'CA/B BR 7.1.2.2',
    find: ({ tbs, issuer }) => {
      const allowed = issuer?.extendedKeyUsage ?? null;
      // CA/B BR 7.1.2.10.6 forbids OCSPSigning in an authority, whose responders have it all the same; so it is with those who speak for it by CMP or SCEP.
      const own: readonly string[] = [oids.ocspSigning, oids.cmcCa, oids.cmcRa];
      const asked = (tbs.extendedKeyUsage ?? []).filter((purpose) => !own.includes(purpose));
      const beyond = allowed === null ? undefined : asked.find((purpose) => !allowed.includes(purpose));
      return unless(beyond === undefined, `purpose ${beyond} is not among the issuer's`);
    },
  },
  {
    id: 'authority-key-identifier',
    clause: 'RFC 5280 section 4.2.1.1',
    find: ({ tbs, issuer }) => {
      if (isCritical(tbs, oids.authorityKeyIdentifier)) return 'authority key identifier is critical';
      if (!issuer)
        return unless(
          tbs.authorityKeyId === null || tbs.authorityKeyId === tbs.subjectKeyId,
          "authority key identifier is not the root's own",
        );
      return unless(
        tbs.authorityKeyId !== null && tbs.authorityKeyId === issuer.subjectKeyId,
        "authority key identifier is not the issuer's",
      );
    },
  },
  {
    id: 'subject-key-identifier',
    clause: 'RFC 5280 section 4.2.1.2',
    find: ({ tbs }) => {
      if (isCritical(tbs, oids.subjectKeyIdentifier)) return 'subject key identifier is critical';
      return unless(!isAuthority(tbs) || tbs.subjectKeyId !== null, 'an authority without subject key identifier');
    },
  },
  {
    id: 'name-constraints',
    clause: 'RFC 5280 section 4.2.1.10',
    find: ({ tbs }) => {
      if (!findExtension(tbs, oids.nameConstraints)) return null;
      return unless(isAuthority(tbs) && isCritical(tbs, oids.nameConstraints), 'name constraints outside an authority, or not critical');
    },
  },
  {
    id: 'crl-distribution-point',
    clause: 'RFC 5280 section 4.2.1.13',
    find: ({ tbs }) => {
      if (!findExtension(tbs, oids.crlDistributionPoints)) return null;
      if (isCritical(tbs, oids.crlDistributionPoints)) return 'CRL distribution points are critical';
      const [uri, ...others] = tbs.crlDistributionPoints;
      return unless(
        others.length === 0 && uri !== undefined && /^http:\/\/[!-~]+$/.test(uri),
        'expected one distribution point with one http URI',
      );
    },
  },
  {
    id: 'no-revocation-available',
    clause: 'RFC 9608 section 4',
    find: ({ tbs }) => {
      if (!findExtension(tbs, oids.noRevAvail)) return null;
      const both =
        findExtension(tbs, oids.crlDistributionPoints) !== null ||
        findExtension(tbs, oids.freshestCrl) !== null ||
        accessUrisOf(tbs, oids.ocspAccess).length > 0;
      return unless(
        !both && !isAuthority(tbs) && !isCritical(tbs, oids.noRevAvail),
        'noRevAvail with a CRL or OCSP, in an authority, or critical',
      );
    },
  },
  {
    id: 'ocsp-uri',
    clause: 'RFC 5280 section 4.2.2.1, RFC 9919 section 5',
    find: ({ tbs }) =>
      unless(
        accessUrisOf(tbs, oids.ocspAccess).every((uri) => uri !== null && /^http:\/\/[!-~]+$/.test(uri)),
        'an OCSP responder that is not at an http URI',
      ),
  },
  {
    id: 'issuer-uri',
    clause: 'RFC 5280 section 4.2.2.1, CA/B BR 7.1.2.7.7',
    find: ({ tbs }) =>
      unless(
        accessUrisOf(tbs, oids.caIssuers).every((uri) => uri !== null && /^http:\/\/[!-~]+$/.test(uri)),
        "an issuer's certificate that is not at an http URI",
      ),
  },
  {
    id: 'ocsp-responder',
    clause: 'RFC 6960 section 4.2.2.2, CA/B BR 7.1.2.8',
    find: ({ tbs }) => {
      const noCheck = findExtension(tbs, oids.ocspNoCheck);
      if (!isResponder(tbs)) return unless(noCheck === null, 'ocsp-nocheck outside a responder');
      if (isAuthority(tbs) || tbs.extendedKeyUsage?.length !== 1) return 'OCSPSigning beside another purpose, or in an authority';
      if (noCheck === null || noCheck.critical || !equalOctets(noCheck.value, NULL)) return 'ocsp-nocheck is absent, critical or not NULL';
      return unless(!findExtension(tbs, oids.crlDistributionPoints), 'a responder that is on a CRL, which nobody asks');
    },
  },
  {
    id: 'critical-known',
    clause: 'RFC 5280 section 4.2',
    find: ({ tbs: { unknownCritical } }) =>
      unless(unknownCritical.length === 0, `critical extension ${unknownCritical[0]} that relying parties need not know`),
  },
  {
    id: 'authority-subject',
    clause: 'RFC 5280 section 4.1.2.6',
    find: ({ tbs }) => unless(!isAuthority(tbs) || !isEmptyName(tbs.subject), 'an authority with an empty subject'),
  },
];

function judgeKeyUsage(tbs: TbsCertificate, usage: ReadonlySet<KeyUsageBit>): string | null {
  if (isAuthority(tbs)) return unless(usage.has('keyCertSign'), 'an authority without keyCertSign');
  const allowed: readonly KeyUsageBit[] = tbs.publicKey.kind === 'rsa' ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'];
  if (!usage.has('digitalSignature')) return 'a leaf without digitalSignature';
  const beyond = [...usage].find((bit) => !allowed.includes(bit));
  return unless(beyond === undefined, `${beyond} in a leaf`);
}

/** True of a delegated OCSP responder, which has no host and so no alternative name. */
export function isResponder(tbs: TbsCertificate): boolean {
  return tbs.extendedKeyUsage?.includes(oids.ocspSigning) === true;
}

/** True of who signs messages in the name of an authority, and is no host either. */
export function speaksForAuthority(tbs: TbsCertificate): boolean {
  return tbs.extendedKeyUsage?.some((purpose) => purpose === oids.cmcCa || purpose === oids.cmcRa) === true;
}

function accessUrisOf(tbs: TbsCertificate, wanted: string): readonly (string | null)[] {
  const access = findExtension(tbs, oids.authorityInfoAccess);
  return access === null ? [] : readAccess(access).flatMap(({ method, uri }) => (method === wanted ? [uri] : []));
}

function isAuthority(tbs: TbsCertificate): boolean {
  return tbs.basicConstraints?.ca === true;
}

function isCritical(tbs: TbsCertificate, oid: string): boolean {
  return findExtension(tbs, oid)?.critical === true;
}

const NULL = Uint8Array.of(5, 0);
