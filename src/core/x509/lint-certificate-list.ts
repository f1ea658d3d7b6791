import { Problem } from '../problems/problem.ts';
import { DAY_MS, type Instant } from '../time/instant.ts';
import type { Certificate } from './certificate.ts';
import { parseTbsCertificateList, type TbsCertificateList } from './certificate-list.ts';
import { certificateListLimits, equalOctets } from './der.ts';
import type { LintedTbs, LintFinding, LintResult } from './lint-certificate.ts';
import { unless } from './lint-certificate-rules.ts';
import { mayHoldSerial } from './merge-list-entries.ts';
import { oids } from './oid.ts';

type ListRule = {
  readonly id: string;
  readonly clause: string;
  readonly find: (list: TbsCertificateList, issuer: Certificate, at: { readonly now: Instant; readonly life: ListLife }) => string | null;
};

/**
 * `published`: as long as the Baseline Requirements let a list live. `issuer`: as long as its authority, for lists that are handed to data planes of ours
 * alone and replaced by push: one that ran out would have these refuse everybody.
 */
export type ListLife = 'published' | 'issuer';

/**
 * Holds the octets of a certificate list that is about to be signed against RFC 5280 section 5 and CA/B BR 7.2. `vetted`: entries that this rule book found
 * clean in a list with an earlier or the same `thisUpdate`. Where the list begins with those very octets, only what comes after them is looked at,
 * and that none of it is among them.
 */
export function lintTbsCertificateList(
  tbs: Uint8Array,
  issuer: Certificate,
  { now, vetted = null, life = 'published' }: { readonly now: Instant; readonly vetted?: Uint8Array | null; readonly life?: ListLife },
): LintResult {
  const findings = findAll(tbs, issuer, { now, vetted, life });
  return findings.length > 0 ? { kind: 'faulty', findings } : { kind: 'clean', tbs: tbs as LintedTbs, excepted: [] };
}

function findAll(
  tbs: Uint8Array,
  issuer: Certificate,
  { now, vetted, life }: { readonly now: Instant; readonly vetted: Uint8Array | null; readonly life: ListLife },
): readonly LintFinding[] {
  try {
    const list = parseUnvetted(tbs, vetted);
    return certificateListRules.flatMap(({ id, clause, find }) => {
      const message = find(list, issuer, { now, life });
      return message === null ? [] : [{ rule: id, clause, message }];
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [{ rule: 'der-strict', clause: 'X.690 section 10', message: error.message }];
  }
}

/** Whole, if there is any doubt. */
function parseUnvetted(tbs: Uint8Array, vetted: Uint8Array | null): TbsCertificateList {
  if (vetted === null) return parseTbsCertificateList(tbs);
  const list = parseTbsCertificateList(tbs, certificateListLimits, vetted);
  const serials = list.revoked.map(({ serialHex }) => Buffer.from(serialHex, 'hex'));
  return mayHoldSerial(vetted, serials) ? parseTbsCertificateList(tbs) : list;
}

export const certificateListRules: readonly ListRule[] = [
  {
    id: 'crl-version',
    clause: 'RFC 5280 section 5.1.2.1',
    find: ({ version }) => unless(version === 2, `version ${version}, expected 2`),
  },
  {
    id: 'crl-issuer',
    clause: 'RFC 5280 section 5.1.2.3',
    find: (list, issuer) =>
      unless(equalOctets(list.issuer.der, issuer.subject.der), "issuer is not octet for octet the authority's subject"),
  },
  {
    id: 'crl-issuer-can-sign',
    clause: 'RFC 5280 section 4.2.1.3',
    find: (_, issuer) => unless(issuer.keyUsage?.has('cRLSign') === true, 'the authority may not sign lists'),
  },
  {
    id: 'crl-algorithm',
    clause: 'RFC 5280 section 5.1.1.2',
    find: (list) => unless(list.signatureAlgorithm !== null, 'signature algorithm is not one of ours'),
  },
  {
    id: 'crl-updates',
    clause: 'RFC 5280 section 5.1.2.5, CA/B BR 4.9.7',
    find: ({ thisUpdate, nextUpdate }, { notAfter }, { now, life }) => {
      if (nextUpdate === null) return 'next update is absent';
      if (thisUpdate > now || nextUpdate <= thisUpdate) return 'this update is still to come, or next update is not after it';
      if (life === 'issuer') return unless(nextUpdate <= notAfter, "next update is after the authority's end");
      return unless(nextUpdate - thisUpdate <= MAX_VALIDITY_MS, 'next update is more than ten days away');
    },
  },
  {
    id: 'crl-authority-key-identifier',
    clause: 'RFC 5280 section 5.2.1',
    find: (list, issuer) =>
      unless(
        list.authorityKeyId !== null && list.authorityKeyId === issuer.subjectKeyId,
        "authority key identifier is not the authority's",
      ),
  },
  {
    id: 'crl-number',
    clause: 'RFC 5280 section 5.2.3',
    find: ({ crlNumber }) => {
      if (crlNumber === null) return 'CRL number is absent';
      return unless(
        crlNumber.length <= 40 && Number.parseInt(crlNumber.slice(0, 2), 16) < 0x80,
        'CRL number is negative or longer than 20 octets',
      );
    },
  },
  {
    id: 'crl-delta',
    clause: 'RFC 5280 section 5.2.4, 5.2.6',
    find: ({ extensions, deltaBase, crlNumber }) => {
      const freshest = extensions.find(({ oid }) => oid === oids.freshestCrl);
      if (deltaBase === null) return unless(freshest?.critical !== true, 'freshest CRL is critical');
      if (freshest) return 'freshest CRL in a delta';
      if (!extensions.some(({ oid, critical }) => oid === oids.deltaCrlIndicator && critical)) return 'delta CRL indicator is not critical';
      return unless(BigInt(`0x${deltaBase}`) <= BigInt(`0x${crlNumber ?? '0'}`), 'the base of the delta is newer than the delta');
    },
  },
  {
    id: 'crl-distribution-point',
    clause: 'RFC 5280 section 5.2.5',
    find: ({ extensions, scope }) => {
      const extension = extensions.find(({ oid }) => oid === oids.issuingDistributionPoint);
      if (!extension || !scope) return null;
      if (!extension.critical) return 'issuing distribution point is not critical';
      if (scope.onlyUserCertificates && scope.onlyAuthorityCertificates) return 'only user and only authority certificates at once';
      return unless(!scope.indirect && scope.uris.length === 1, 'the list is indirect, or its point is not one URI');
    },
  },
  {
    id: 'crl-entries',
    clause: 'RFC 5280 section 5.1.2.6, 5.3.1',
    find: ({ revoked, thisUpdate, deltaBase }) => {
      if (new Set(revoked.map(({ serialHex }) => serialHex)).size !== revoked.length) return 'a serial number twice';
      if (revoked.some(({ revokedAt }) => revokedAt > thisUpdate)) return 'a revocation after this update';
      return unless(deltaBase !== null || !revoked.some(({ reason }) => reason === 'removeFromCRL'), 'removeFromCRL outside a delta');
    },
  },
  {
    id: 'crl-critical-known',
    clause: 'RFC 5280 section 5.2',
    find: ({ unknownCritical }) =>
      unless(unknownCritical.length === 0, `critical extension ${unknownCritical[0]} that relying parties need not know`),
  },
];

const MAX_VALIDITY_MS = 10 * DAY_MS;
