import type { RefusalLog } from '../../control/access/refusal-log.ts';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { RegistrationAuthority } from './registration-authority.ts';

/** All that the slice works with. */
export type ScepDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  /** As it stands now: its certificate is renewed meanwhile. */
  readonly registrationAuthority: () => RegistrationAuthority;
  /** Until when messages are taken that are signed with SHA-1, or encrypted with DES or 3DES; null: they are not. */
  readonly legacyUntil: Instant | null;
  readonly refusals: RefusalLog;
  readonly log: Log;
};

/** Whether old digests and ciphers are excepted now. */
export function takesLegacy({ legacyUntil }: Pick<ScepDeps, 'legacyUntil'>, now: Instant): boolean {
  return legacyUntil !== null && now < legacyUntil;
}
