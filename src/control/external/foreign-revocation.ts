import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor } from '../audit/entry.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import type { ForeignKey } from './external-order.ts';

/** `asked`: recorded here; the CA is asked until it answers. `revoked`: it said so. `failed`: it said no, and a person has to act. */
export type ForeignRevocationStatus = 'asked' | 'revoked' | 'failed';

/** A revocation that another CA is asked for by the account that it gave the certificate to (RFC 8555 section 7.6). */
export type ForeignRevocation = ForeignKey & {
  readonly authorityId: EntityId<'authority'>;
  readonly environment: string;
  readonly region: string;
  readonly reason: RevocationReason;
  readonly askedBy: Actor;
  readonly status: ForeignRevocationStatus;
  /** Failures in a row that may pass. */
  readonly attempts: number;
  readonly dueAt: Instant;
  /** Why it failed or waits. */
  readonly detail: string | null;
};

/** Codes of RFC 5280 section 5.3.1; a CA is not told that it is compromised itself by who only has an account there. */
export const reasonCodes: { readonly [R in Exclude<RevocationReason, 'cACompromise'>]: number } = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};
