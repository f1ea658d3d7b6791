import type { Instant } from '../../core/time/instant.ts';
import type { IssuanceRequest, IssuedCertificate } from '../../control/ca/issuance-request.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Clock } from '../../platform/clock/clock.ts';

/** What every method of enrollment needs: the one door to a signature, and the time. */
export type EnrollmentDeps = {
  /** `issueCertificate` with its database and authorities. */
  readonly issue: (request: IssuanceRequest, now: Instant) => Promise<IssuedCertificate>;
  /** Committed state. */
  readonly queries: Queries;
  /** The roots to hand to who joins, DER. */
  readonly roots: () => readonly Uint8Array[];
  readonly clock: Clock;
};
