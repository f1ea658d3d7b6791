import { Problem } from '../problems/problem.ts';
import { DAY_MS, HOUR_MS, type Instant } from '../time/instant.ts';
import type { Certificate } from './certificate.ts';
import type { LintedTbs, LintFinding, LintResult } from './lint-certificate.ts';
import { unless } from './lint-certificate-rules.ts';
import { isResponder } from './lint-extension-rules.ts';
import { equalOctets } from './der.ts';
import { type CertIdHash, isOfIssuer, type IssuerHashes } from './ocsp-cert-id.ts';
import { parseTbsOcspResponse, type TbsOcspResponse } from './read-ocsp-response.ts';
import { oids } from './oid.ts';

/** Who signs and for whom: the delegate, its key's hash, and the issuer of whose certificates it may speak. */
export type OcspSpeaker = {
  readonly responder: Certificate;
  readonly responderKeyHash: Uint8Array;
  readonly issuer: Certificate;
  readonly issuerHashes: { readonly [H in CertIdHash]: IssuerHashes };
};

type OcspRule = {
  readonly id: string;
  readonly clause: string;
  readonly find: (response: TbsOcspResponse, speaker: OcspSpeaker, now: Instant) => string | null;
};

/** Holds the octets of an answer that is about to be signed against RFC 6960, RFC 9919 and CA/B BR 4.9.9 and 4.9.10. */
export function lintTbsOcspResponse(tbs: Uint8Array, speaker: OcspSpeaker, { now }: { readonly now: Instant }): LintResult {
  const findings = findAll(tbs, speaker, now);
  return findings.length > 0 ? { kind: 'faulty', findings } : { kind: 'clean', tbs: tbs as LintedTbs, excepted: [] };
}

function findAll(tbs: Uint8Array, speaker: OcspSpeaker, now: Instant): readonly LintFinding[] {
  try {
    const response = parseTbsOcspResponse(tbs);
    return ocspRules.flatMap(({ id, clause, find }) => {
      const message = find(response, speaker, now);
      return message === null ? [] : [{ rule: id, clause, message }];
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [{ rule: 'der-strict', clause: 'X.690 section 10', message: error.message }];
  }
}

export const ocspRules: readonly OcspRule[] = [
  {
    id: 'ocsp-delegate',
    clause: 'RFC 6960 section 4.2.2.2',
    find: (_, { responder, issuer }, now) => {
      if (!equalOctets(responder.issuer.der, issuer.subject.der) || responder.authorityKeyId !== issuer.subjectKeyId)
        return 'the responder is of another issuer than the certificates';
      if (!isResponder(responder)) return 'the responder may not sign answers';
      return unless(responder.notBefore <= now && now <= responder.notAfter, 'the responder is not valid now');
    },
  },
  {
    id: 'ocsp-responder-id',
    clause: 'RFC 9919 section 3.2.3',
    find: ({ responderKeyHash }, speaker) =>
      unless(
        responderKeyHash !== null && equalOctets(responderKeyHash, speaker.responderKeyHash),
        'the responder is not named by the hash of its key',
      ),
  },
  {
    id: 'ocsp-answers',
    clause: 'RFC 6960 section 4.2.2.3',
    find: ({ answers }, { issuerHashes }) => {
      if (answers.length === 0) return 'an answer without a status';
      return unless(
        answers.every(({ id }) => isOfIssuer(id, issuerHashes)),
        'a status of a certificate of another issuer',
      );
    },
  },
  {
    id: 'ocsp-updates',
    clause: 'RFC 9919 section 3.2.4, CA/B BR 4.9.9',
    find: ({ answers, producedAt }, { responder }, now) => {
      if (producedAt > now) return 'produced in the future';
      for (const { thisUpdate, nextUpdate } of answers) {
        if (nextUpdate === null) return 'next update is absent';
        if (thisUpdate > producedAt || nextUpdate <= producedAt) return 'this update is still to come, or next update is over';
        const life = nextUpdate - thisUpdate;
        if (life < MINIMUM_LIFE_MS || life > MAXIMUM_LIFE_MS) return 'next update is less than eight hours or more than ten days away';
        // A client that has the answer must still be able to verify who signed it.
        if (nextUpdate > responder.notAfter) return 'next update is after the end of the responder';
      }
      return null;
    },
  },
  {
    id: 'ocsp-revoked',
    clause: 'RFC 6960 section 2.2, 4.4.8, CA/B BR 4.9.10',
    find: ({ answers, extensions }) => {
      const extended = extensions.some(({ oid }) => oid === oids.ocspExtendedRevoke);
      for (const { status, thisUpdate, extensions: own } of answers) {
        if (own.some(({ oid }) => oid === oids.reasonCode)) return 'a reason among the extensions of a status';
        if (status.kind !== 'revoked') continue;
        if (status.at > thisUpdate) return 'a revocation after this update';
        if (status.reason === 'removeFromCRL') return 'removeFromCRL outside a delta list';
        if (status.reason === 'certificateHold' && !(extended && status.at === 0))
          return 'certificateHold of a certificate that was issued';
      }
      return null;
    },
  },
];

const MINIMUM_LIFE_MS = 8 * HOUR_MS;
const MAXIMUM_LIFE_MS = 10 * DAY_MS;
