import type { EntityId } from '../../core/ids/entity-id.ts';
import type { AskerRole, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Role } from '../access/role.ts';
import type { Actor } from '../audit/entry.ts';

/**
 * `requested`: recorded here, nothing sent. `placing`: the CA may have been asked. `placed`: its URL is known, and the CA's own status
 * says what is next. `issued`, `failed`: over.
 */
export type ExternalOrderStatus = 'requested' | 'placing' | 'placed' | 'issued' | 'failed';

/** A certificate of another CA, by its issuer's id here. */
export type ForeignKey = { readonly issuerId: EntityId<'authority'>; readonly serial: Uint8Array };

export type OrderApprovals = { readonly count: number; readonly role: Role };

/** One certificate that another CA is asked for. The key never comes here: the CSR does. */
export type ExternalOrder = {
  readonly id: EntityId<'order'>;
  readonly authorityId: EntityId<'authority'>;
  readonly environment: string;
  readonly region: string;
  /** DER. */
  readonly csr: Uint8Array;
  readonly names: readonly string[];
  readonly askedBy: Actor;
  /** What the door proved the asker to be; null: asked before this was kept. */
  readonly askerRole: AskerRole | null;
  /** Who asked for the first of a line of renewals; the engine asks for the others. */
  readonly firstAskedBy: Actor;
  /** Under which it was asked for, and is renewed. */
  readonly profile: ProfileName;
  /** How many persons approved of this CSR under this profile, of which role; null: none did. Renewals of both inherit them. */
  readonly approvals: OrderApprovals | null;
  /** How long what comes may last by the credential that asked for the first, in milliseconds; null: as long as the profile lets it. */
  readonly grantedMs: number | null;
  /** How long what comes may last, in milliseconds, as was decided; null: decided before this was kept. */
  readonly longestMs: number | null;
  /** What it must be for, as dotted identifiers. */
  readonly purposes: readonly string[];
  readonly status: ExternalOrderStatus;
  readonly url: string | null;
  /** The certificate that it renews; null: it is the first. */
  readonly renews: ForeignKey | null;
  /** That one's id of ARI (RFC 9773 section 4.1), if it has one. */
  readonly replaces: string | null;
  /** Where it is to be served; null: nobody said. */
  readonly endpointId: EntityId<'endpoint'> | null;
  /** Failures in a row that may pass. */
  readonly attempts: number;
  /** When there is something to do; while somebody drives it, until when it is his. */
  readonly dueAt: Instant;
  /** Why it failed or waits. */
  readonly detail: string | null;
  readonly certificate: ForeignKey | null;
  readonly createdAt: Instant;
};

/** When to try again: doubling from five seconds to an hour, up to half of it added by chance, and never before the CA said. */
export function nextAttemptAt(now: Instant, attempts: number, retryAt: Instant | null, chance: number): Instant {
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempts, 20), LONGEST_PAUSE_MS);
  return Math.max(now + Math.round(pause * (1 + chance / 2)), retryAt ?? 0);
}

const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** Some two days of an hour each: what fails so long is told to a person. */
export const MAXIMUM_ATTEMPTS = 60;
