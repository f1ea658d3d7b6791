import type { MachineTokens } from '../../control/access/machine-tokens.ts';
import type { RefusalLog } from '../../control/access/refusal-log.ts';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { Log } from '../../platform/log/logger.ts';

/** All that the slice works with. */
export type EstDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  readonly machineTokens: MachineTokens;
  readonly refusals: RefusalLog;
  /** Of labels that name no environment, and of what is issued. */
  readonly place: { readonly environment: string; readonly region: string };
  /** Of the path without a label. */
  readonly profile: string;
  /** Labels whose requests have to be bound to their TLS session; `*`: all. */
  readonly bound: ReadonlySet<string>;
  /** After how long a client is to ask again for what waits. */
  readonly retryAfterMs: number;
  readonly log: Log;
};
