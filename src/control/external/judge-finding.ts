import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { CertificateStanding } from '../../core/x509/judge-status.ts';
import type { Served } from './ask-served.ts';
import type { Finding } from './foreign-certificate.ts';

export type WatchFacts = {
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  /** Null: the certificate names nobody who could be asked. */
  readonly standing: CertificateStanding | null;
  /** Null: no endpoint is named. */
  readonly served: Served | null;
};

/** The gravest of what is wrong with a watched certificate, with its detail. */
export function judgeFinding(
  now: Instant,
  { notBefore, notAfter, standing, served }: WatchFacts,
): { readonly finding: Finding; readonly detail: string | null } {
  if (standing?.kind === 'revoked') return { finding: 'revoked', detail: `${standing.reason} at ${new Date(standing.at).toISOString()}` };
  if (now > notAfter) return { finding: 'expired', detail: null };
  if (served?.kind === 'other') return { finding: 'not-served', detail: served.detail };
  // Later than the two thirds at which it should have been renewed, and at least three days for whoever has to act.
  const alarm = notAfter - Math.min(Math.max(Math.floor((notAfter - notBefore) / 6), 3 * DAY_MS), Math.floor((notAfter - notBefore) / 3));
  if (now >= alarm) return { finding: 'expiring', detail: null };
  if (served?.kind === 'unreachable') return { finding: 'unreachable', detail: served.detail };
  if (standing?.kind === 'unknown') return { finding: 'status-unknown', detail: standing.detail };
  return { finding: 'none', detail: null };
}
