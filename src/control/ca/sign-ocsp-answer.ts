import { createHash } from 'node:crypto';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { lintTbsOcspResponse } from '../../core/x509/lint-ocsp-response.ts';
import type { CertId } from '../../core/x509/ocsp-cert-id.ts';
import { assembleOcspResponse, buildTbsOcspResponse, type OcspStatus } from '../../core/x509/ocsp-response.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateStanding, findStanding } from './certificate-store.ts';
import type { OcspSigner } from './issue-ocsp-signer.ts';

/** What is said of serials that nobody has: that nothing is known, or that they are revoked (RFC 6960 section 2.2). Never that they are good. */
export type UnassignedPolicy = 'unknown' | 'revoked';

/** A signed answer, whole. */
export type SignedOcspAnswer = {
  readonly der: Uint8Array;
  readonly thisUpdate: Instant;
  readonly nextUpdate: Instant;
  /** Lower case hex. */
  readonly sha256: string;
};

/** The status of a certificate as committed now; null: no certificate of this serial was given to anybody. */
export async function readOcspStatus(queries: Queries, issuerId: EntityId<'authority'>, serial: Uint8Array): Promise<OcspStatus | null> {
  return statusOf(await findStanding(queries, issuerId, serial));
}

/** What was reserved, withheld or abandoned may have been signed, but nobody holds it. */
function statusOf(standing: CertificateStanding | null): OcspStatus | null {
  if (standing === null) return null;
  const { status, revokedAt, revocationReason } = standing;
  if (revokedAt !== null) return { kind: 'revoked', at: revokedAt, reason: revocationReason ?? 'unspecified' };
  return status === 'issued' ? { kind: 'good' } : null;
}

/**
 * Builds, lints and signs one response to all questions, in their order, each CertID as it was asked.
 * @throws internal if the answer breaks a rule of the lint, which says so
 */
export async function signOcspAnswer(
  by: OcspSigner,
  answers: readonly { readonly id: CertId; readonly status: OcspStatus | null }[],
  options: { readonly nonce: Uint8Array | null; readonly unassigned: UnassignedPolicy },
  now: Instant,
): Promise<SignedOcspAnswer> {
  const thisUpdate = Math.floor(now / SECOND_MS) * SECOND_MS;
  const nextUpdate = thisUpdate + LIFE_MS;
  const { nonce, unassigned } = options;
  const tbs = buildTbsOcspResponse({
    responderKeyHash: by.responderKeyHash,
    producedAt: thisUpdate,
    answers: answers.map(({ id, status }) => ({ certId: id.der, status: sayOf(status, unassigned, thisUpdate), thisUpdate, nextUpdate })),
    nonce,
    extendedRevoke: unassigned === 'revoked',
  });
  const lint = lintTbsOcspResponse(tbs, by, { now });
  if (lint.kind === 'faulty') {
    throw new Problem('internal', `Cannot sign OCSP answer: ${lint.findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`);
  }
  const der = assembleOcspResponse(tbs, by.signer.algorithm, await by.signer.sign(lint.tbs), by.responder.der);
  return { der, thisUpdate, nextUpdate, sha256: createHash('sha256').update(der).digest('hex') };
}

function sayOf(status: OcspStatus | null, unassigned: UnassignedPolicy, thisUpdate: Instant): OcspStatus {
  if (status === null) return unassigned === 'unknown' ? { kind: 'unknown' } : NEVER_ISSUED;
  // The answer is of a whole second, the revocation of a moment in it.
  return status.kind === 'revoked' ? { ...status, at: Math.min(status.at, thisUpdate) } : status;
}

/** RFC 6960 section 2.2: certificateHold since 1970, with the extended revoke extension. */
const NEVER_ISSUED: OcspStatus = { kind: 'revoked', at: 0, reason: 'certificateHold' };
/** CA/B BR 4.9.9: eight hours to ten days. Caches are told to ask again much sooner. */
const LIFE_MS = 24 * HOUR_MS;
/** From here on a kept answer is made anew (BR 4.9.9: at half of its life). */
export const OCSP_RENEWAL_MS = LIFE_MS / 2;
