import type { RefusalLog } from '../../control/access/refusal-log.ts';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { CmpSigner } from '../../control/ca/issue-cmp-signer.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { SeenMessages } from './seen-messages.ts';

/** All that the slice works with; each handler takes the part that it names. */
export type CmpDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  readonly authorityChanged: Signal;
  /** What all shared secrets are derived from. */
  readonly root: Secret<Uint8Array>;
  /** Who signs answers now. */
  readonly signer: () => CmpSigner;
  readonly confirmWithinMs: number;
  readonly seen: SeenMessages;
  readonly refusals: RefusalLog;
  readonly log: Log;
};
