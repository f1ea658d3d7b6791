import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { findJoinToken, markJoinTokenRevoked } from './join-token-store.ts';

/** Takes a join token back; a certificate that it already bought is not touched. @throws not-found, state-conflict */
export async function revokeJoinToken(
  deps: { readonly database: AuditedDatabase },
  tokenId: EntityId<'token'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await deps.database.commit(async (unit) => {
    const token = await findJoinToken(unit.queries, tokenId);
    if (token === null) throw new Problem('not-found', `Cannot revoke join token: ${tokenId} does not exist`);
    if (!(await markJoinTokenRevoked(unit.queries, tokenId, now))) {
      throw new Problem('state-conflict', `Cannot revoke join token: ${tokenId} is revoked already`);
    }
    recordEntry(unit, {
      type: 'join-token.revoked',
      at: now,
      environment: token.environment,
      region: token.region,
      actor,
      data: { tokenId, spiffeId: token.spiffeId },
    });
  });
}
