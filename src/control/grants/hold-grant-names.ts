import type { PersonHolder } from '../audit/person-holder.ts';
import { grantDoors } from './door-grant.ts';
import { endGrant, listOpenGrantsFor, renameInGrants } from './store.ts';

/**
 * What is for the person and could still be used is taken back: nobody would know any more whose it is. What the person made for others fell with the token by which
 * it was made, which had to be revoked before.
 */
export const holdGrantNames: PersonHolder = async (queries, { name, instead }, now) => {
  const open = await listOpenGrantsFor(queries, name, now);
  for (const grant of open) await endGrant(queries, grant, now);
  const ended = open.map(({ id, door, environment, region }) => {
    return { type: `${grantDoors[door].entry}.revoked`, environment, region, data: { tokenId: id } } as const;
  });
  return { erased: await renameInGrants(queries, name, instead), inUse: [], ended };
};
