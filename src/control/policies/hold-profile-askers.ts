import type { PersonHolder } from '../audit/person-holder.ts';
import { listProfiles } from './profile-store.ts';

/** Whom a profile names as an asker the operator declared, and the next declaration would bring the name back: it has to be declared without. */
export const holdProfileAskers: PersonHolder = async (queries, { name }) => {
  const naming = (await listProfiles(queries, '*')).filter(({ askers }) =>
    Object.values(askers).some(({ identities }) => identities?.includes(name)),
  );
  return { erased: 0, inUse: naming.map((profile) => `profile ${profile.environment}/${profile.name}`) };
};
