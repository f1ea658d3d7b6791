import type { PersonHolder } from '../audit/person-holder.ts';
import { renameInGrants } from './store.ts';

/** Whom a grant is for decides nothing; what the person made fell with the token by which it was made, which has to be revoked before. */
export const holdGrantNames: PersonHolder = async (queries, { name, instead }) => ({
  erased: await renameInGrants(queries, name, instead),
  inUse: [],
});
