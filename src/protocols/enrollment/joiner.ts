import type { MachineTokens } from '../../control/access/machine-tokens.ts';
import type { AuditedUnit } from '../../control/audit/entry.ts';
import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import type { Joiner as RegisteredJoiner } from '../../control/fleet/register-proxy.ts';
import type { Queries } from '../../platform/db/database.ts';

/** Who joins, by what it presented, and what is used up in the commit that reserves its first certificate. */
export type Joiner = {
  readonly proxy: Omit<RegisteredJoiner, 'version' | 'capabilities'>;
  readonly asker: Pick<IssuanceRequest, 'asker' | 'actor'>;
  readonly claim: (unit: AuditedUnit) => Promise<void>;
  /** For the log. */
  readonly note: { readonly [name: string]: string };
};

export type JoinerDeps = {
  readonly queries: Queries;
  /** Null: only join tokens are taken. */
  readonly machineTokens: MachineTokens | null;
};
