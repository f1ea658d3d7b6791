import type { CertificateCadence } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Instant } from '../../core/time/instant.ts';

/** The validity of the certificate in use, and the epoch that it answers (null: none was ever heard of). */
export type CurrentCertificate = { readonly notBefore: Instant; readonly notAfter: Instant; readonly renewalEpoch: bigint | null };

/**
 * When the certificate in use is to be renewed: at its part of life by the cadence, or, if the cadence's epoch rose above the
 * one that it answers, at a time of its own within the smear after `heardAt`. `share` in [0, 1) is this data plane's own place.
 */
export function renewalDueAt(current: CurrentCertificate, cadence: CertificateCadence | null, heardAt: Instant, share: number): Instant {
  const permille = Math.min(MAXIMUM_PERMILLE, Math.max(MINIMUM_PERMILLE, cadence?.renewAtPermille || DEFAULT_PERMILLE));
  const byTime = current.notBefore + Math.floor(((current.notAfter - current.notBefore) * permille) / 1000);
  if (cadence === null || current.renewalEpoch === null || cadence.renewalEpoch <= current.renewalEpoch) return byTime;
  return Math.min(byTime, heardAt + Math.floor(cadence.renewalSmearMs * share));
}

/** Half of the life leaves the other half for repairs. */
const DEFAULT_PERMILLE = 500;
const MINIMUM_PERMILLE = 50;
const MAXIMUM_PERMILLE = 900;
