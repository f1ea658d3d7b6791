import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateKey, type CertificateRecord, findCertificate, isKeyCompromised } from './certificate-store.ts';
import { isSuspended } from './revocation-store.ts';

/** What an issuance rests on that may fall while it is under way: the identity, the key, and the certificate that it renews. */
export type Footing = {
  readonly spiffeId: SpiffeId | null;
  readonly csr: { readonly spkiSha256: string };
  readonly predecessor?: CertificateKey;
  /** How long after its end the predecessor may still be renewed. */
  readonly graceMs: number;
};

/**
 * Why nothing may be issued on this footing now; empty if it holds. Asked inside both commits of an issuance,
 * so that no certificate is given out after the suspension or revocation that forbids it was answered.
 */
export async function findFallen(queries: Queries, { spiffeId, csr, predecessor, graceMs }: Footing, now: Instant): Promise<string[]> {
  const reasons: string[] = [];
  if (spiffeId !== null && (await isSuspended(queries, spiffeId))) reasons.push(`identity ${spiffeId} is suspended`);
  if (await isKeyCompromised(queries, csr.spkiSha256)) reasons.push('the key is known to be compromised');
  if (predecessor === undefined) return reasons;
  const held = await findCertificate(queries, predecessor.issuerKeySha256, predecessor.serial);
  const serial = Buffer.from(predecessor.serial).toString('hex');
  if (held === null || held.status !== 'issued') return [...reasons, `certificate ${serial}, which is to be renewed, was never issued`];
  if (held.revokedAt !== null) reasons.push(`certificate ${serial}, which is to be renewed, is revoked`);
  if (held.notAfter + graceMs < now) reasons.push(`certificate ${serial}, which is to be renewed, is expired`);
  return reasons;
}

/**
 * Why a certificate that was issued is not given out now; empty if it may be. An answer that was lost is asked for again, and persons agree to what nobody fetches for
 * days: what was suspended or revoked since is kept from whoever asks.
 */
export async function findWithdrawn(queries: Queries, record: CertificateRecord, now: Instant): Promise<string[]> {
  const { status, spiffeId, spkiSha256, revokedAt, notAfter } = record;
  const reasons = await findFallen(queries, { spiffeId, csr: { spkiSha256 }, graceMs: 0 }, now);
  const serial = Buffer.from(record.serial).toString('hex');
  if (status !== 'issued') reasons.push(`certificate ${serial} was never issued`);
  if (revokedAt !== null) reasons.push(`certificate ${serial} is revoked`);
  if (notAfter <= now) reasons.push(`certificate ${serial} is expired`);
  return reasons;
}
