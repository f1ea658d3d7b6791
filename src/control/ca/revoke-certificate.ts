import { MAXIMUM_RENEWAL_GRACE_MS } from '../../core/issuance/profile-spec.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Actor, AuditedDatabase, AuditedFence } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { advanceSequence } from './authority-store.ts';
import { type CertificateKey, type CertificateRecord, findCertificate, foreignDoors } from './certificate-store.ts';
import type { RevocationReason } from './revocation-reason.ts';
import { touchCrl } from './crl-store.ts';
import { changeRevocationReason, markRevoked } from './revocation-store.ts';

export type Revocation = CertificateKey & { readonly reason: RevocationReason };

/**
 * Revokes a certificate: it is in the revoked set, whose sequence is returned, when this resolves, and in the next CRL.
 * @throws not-found; state-conflict if it is revoked already (but `keyCompromise` may still be learnt), expired or not issued
 */
export async function revokeCertificate(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  revocation: Revocation,
  actor: Actor,
  now: Instant,
): Promise<{ readonly revokedSequence: number }> {
  const known = await findCertificate(deps.database.queries, revocation.issuerKeySha256, revocation.serial);
  // Everybody waits for a fence, and strangers may ask for this one: what has ended does not come back.
  if (known !== null && known.revokedAt === null) refuseEnded(known, now);
  const revokedSequence = await deps.database.commitFenced((unit) => revoke(unit, revocation, actor, now));
  deps.changed.notify();
  return { revokedSequence };
}

/** The same as part of a fenced unit, so that no issuance which is being committed elsewhere overlooks it; it tells nobody. Returns the number of the revoked set. */
export async function revoke(unit: AuditedFence, revocation: Revocation, actor: Actor, now: Instant): Promise<number> {
  const { issuerKeySha256, reason } = revocation;
  const serial = Buffer.from(revocation.serial).toString('hex');
  const certificate = await findCertificate(unit.queries, issuerKeySha256, revocation.serial);
  if (certificate === null) throw new Problem('not-found', `Cannot revoke certificate: no certificate ${serial} of this issuer`);
  if (foreignDoors.includes(certificate.door))
    throw new Problem('state-conflict', `Cannot revoke certificate: ${serial} is of another CA, which alone revokes it`);
  const learnt = certificate.revokedAt !== null && reason === 'keyCompromise' && certificate.revocationReason !== 'keyCompromise';
  const sequence = await advanceSequence(unit.queries, 'revoked-set');
  const crlRevision = await touchCrl(unit.queries, certificate.issuerId, certificate.crlShard);
  if (learnt) await changeRevocationReason(unit, certificate, { reason, crlRevision });
  else await revokeFresh(unit, certificate, { at: now, reason, crlRevision, sequence });
  recordEntry(unit, {
    type: learnt ? 'certificate.revocation-amended' : 'certificate.revoked',
    at: now,
    environment: certificate.environment,
    region: certificate.region,
    actor,
    data: {
      issuerId: certificate.issuerId,
      issuerKeySha256,
      serial,
      reason,
      spiffeId: certificate.spiffeId,
      proxyId: certificate.proxyId,
      drill: certificate.door === 'drill',
    },
  });
  return sequence;
}

async function revokeFresh(
  unit: AuditedFence,
  certificate: CertificateRecord,
  mark: { readonly at: Instant; readonly reason: RevocationReason; readonly crlRevision: number; readonly sequence: number },
): Promise<void> {
  const serial = Buffer.from(certificate.serial).toString('hex');
  if (certificate.status === 'reserved') {
    throw new Problem('state-conflict', `Cannot revoke certificate: ${serial} is being issued, expected an issued certificate`);
  }
  refuseEnded(certificate, mark.at);
  if (!(await markRevoked(unit, certificate, mark))) {
    throw new Problem('state-conflict', `Cannot revoke certificate: ${serial} is revoked already`);
  }
}

/** By what ended lately its holder may still renew. @throws state-conflict */
function refuseEnded({ serial, notAfter }: CertificateRecord, now: Instant): void {
  if (notAfter + MAXIMUM_RENEWAL_GRACE_MS >= now) return;
  const text = Buffer.from(serial).toString('hex');
  throw new Problem('state-conflict', `Cannot revoke certificate: ${text} is expired, expected a current certificate`);
}
