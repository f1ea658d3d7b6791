import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { endAccessToken, findAccessToken } from './store.ts';

/** Ends a named token; the next request that carries it is refused, and what its holder approved of is signed no more. @throws not-found, state-conflict */
export async function revokeToken(
  deps: { readonly database: AuditedDatabase },
  tokenId: EntityId<'token'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await deps.database.commitFenced(async (unit) => {
    const token = await findAccessToken(unit.queries, tokenId);
    if (token === null) throw new Problem('not-found', `Cannot revoke token: ${tokenId} does not exist`);
    if (!(await endAccessToken(unit.queries, tokenId, now))) {
      throw new Problem('state-conflict', `Cannot revoke token: ${tokenId} has ended, expected a live token`);
    }
    recordEntry(unit, { type: 'token.revoked', at: now, environment: token.environment, region: token.region, actor, data: { tokenId } });
  });
}
