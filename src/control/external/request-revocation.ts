import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { type CertificateKey, findCertificate } from '../ca/certificate-store.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import { findForeignCertificate, NEVER, postponeRenewal } from './foreign-certificate-store.ts';
import { type ForeignRevocation, reasonCodes } from './foreign-revocation.ts';
import { findForeignRevocation, putForeignRevocation } from './foreign-revocation-store.ts';

/**
 * Records that another CA is to be asked to revoke what it issued to us; it counts as revoked when that CA has said so. Asked for again while it is
 * under way nothing changes. @throws not-found; state-conflict if it was imported, is revoked already or expired; input-invalid
 */
export async function requestForeignRevocation(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  request: CertificateKey & { readonly reason: RevocationReason },
  actor: Actor,
  now: Instant,
): Promise<ForeignRevocation> {
  if (!Object.hasOwn(reasonCodes, request.reason))
    throw new Problem(
      'input-invalid',
      `Cannot revoke certificate: reason ${request.reason}, expected one of ${Object.keys(reasonCodes).join(', ')}`,
    );
  const revocation = await deps.database.commit((unit) => stageRevocation(unit, request, actor, now));
  deps.changed.notify();
  return revocation;
}

/** @throws as `requestForeignRevocation` */
export async function stageRevocation(
  unit: AuditedUnit,
  { issuerKeySha256, serial, reason }: CertificateKey & { readonly reason: RevocationReason },
  askedBy: Actor,
  now: Instant,
): Promise<ForeignRevocation> {
  const { queries } = unit;
  const serialHex = Buffer.from(serial).toString('hex');
  const certificate = await findCertificate(queries, issuerKeySha256, serial);
  const foreign = certificate === null ? null : await findForeignCertificate(queries, certificate);
  if (certificate === null || foreign === null)
    throw new Problem('not-found', `Cannot revoke certificate: no certificate ${serialHex} of this issuer`);
  if (foreign.authorityId === null)
    throw conflict(`${serialHex} is of another CA, which gave it to others; whoever ordered it there revokes it`);
  if (certificate.revokedAt !== null) throw conflict(`${serialHex} is revoked already`);
  if (certificate.notAfter < now) throw conflict(`${serialHex} is expired, expected a current certificate`);
  const held = await findForeignRevocation(queries, foreign);
  if (held?.status === 'asked' && (held.reason === reason || reason !== 'keyCompromise')) return held;
  const { issuerId, authorityId, environment, region } = foreign;
  const asked: ForeignRevocation = {
    issuerId,
    serial,
    authorityId,
    environment,
    region,
    reason,
    askedBy,
    status: 'asked',
    attempts: 0,
    dueAt: now,
    detail: null,
  };
  await putForeignRevocation(queries, asked);
  // What is to be revoked is not replaced by itself, and by the same key least of all.
  await postponeRenewal(queries, foreign, NEVER);
  const data = { issuerId, issuerKeySha256, serial: serialHex, reason };
  recordEntry(unit, { type: 'external-revocation.requested', at: now, environment, region, actor: askedBy, data });
  return asked;
}

function conflict(what: string): Problem {
  return new Problem('state-conflict', `Cannot revoke certificate: ${what}`);
}
