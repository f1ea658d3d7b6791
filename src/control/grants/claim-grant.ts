import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { findLiveToken } from '../access/live-token.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import { isSuspended } from '../ca/revocation-store.ts';
import { type DoorGrant, faultOf, type GrantUse } from './door-grant.ts';
import { findGrant, takeUse } from './store.ts';

/** Why it buys nothing now, for the log; null: it is good. Its identity may be let in again, and then it is. */
export async function findGrantFault(queries: Queries, grant: DoorGrant, now: Instant): Promise<string | null> {
  const { maker, bounds } = grant;
  const fault = faultOf(grant, now);
  if (fault !== null) return fault;
  if (maker !== null && (await findLiveToken(queries, maker.tokenId, now)) === null) return 'its maker has no token any more';
  const spiffeId = bounds?.spiffeId ?? null;
  return spiffeId !== null && (await isSuspended(queries, spiffeId)) ? `its identity ${spiffeId} is suspended` : null;
}

/**
 * Takes one use in the commit of what it buys, so that both are kept or none; why not, and nothing done; null: taken. All is asked again, because what was so when the request came in
 * may have ended since: revoking tokens and suspending identities are fenced, so that neither can be answered beside this commit.
 */
export async function claimGrant(
  { queries }: AuditedUnit,
  use: Pick<DoorGrant, 'id' | 'door'> & Pick<GrantUse, 'by' | 'spkiSha256'>,
  now: Instant,
): Promise<string | null> {
  if (await takeUse(queries, use, now)) return null;
  const grant = await findGrant(queries, use.door, use.id);
  return grant === null ? 'forgotten' : ((await findGrantFault(queries, grant, now)) ?? 'used');
}
