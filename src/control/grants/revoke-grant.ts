import type { Instant } from '../../core/time/instant.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { type DoorGrant, grantDoors } from './door-grant.ts';
import { endGrant } from './store.ts';

/** Takes a grant back. What it bought stays. @throws state-conflict */
export async function revokeGrant(
  { database }: { readonly database: AuditedDatabase },
  { id, door, environment, region }: Pick<DoorGrant, 'id' | 'door' | 'environment' | 'region'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  const { entry, noun, holds } = grantDoors[door];
  await database.commit(async (unit) => {
    if (!(await endGrant(unit.queries, { id, door }, now)))
      throw new Problem('state-conflict', `Cannot revoke ${noun}: it is ${holds ? '' : 'used or '}revoked already`);
    recordEntry(unit, { type: `${entry}.revoked`, at: now, environment, region, actor, data: { tokenId: id } });
  });
}
