import type { ChallengeType } from './challenge-type.ts';
import type { AcmeLimits } from './limits.ts';

/** What the operator decided about ACME; parsed from the configuration. */
export type AcmeSettings = {
  /** Every new account needs a binding token (RFC 8555 section 7.3.4). */
  readonly externalAccountRequired: boolean;
  /** URL of the terms that accounts must agree to; null: there are none. */
  readonly termsOfService: string | null;
  /** Issuer domain names of CAA records that mean this CA (RFC 8659 section 4.2). Empty: CAA is not asked. */
  readonly caaIdentities: readonly string[];
  readonly challenges: readonly ChallengeType[];
  readonly limits: AcmeLimits;
  /** Where http-01 and tls-alpn-01 are answered; 80 and 443 but for tests. */
  readonly ports: { readonly http: number; readonly tls: number };
};
