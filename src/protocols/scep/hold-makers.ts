import type { PersonHolder } from '../../control/audit/person-holder.ts';
import { renameMakers } from './challenge-store.ts';

/** Who made challenges; the token by which they were made stands, or falls, for itself. */
export const holdMakers: PersonHolder = async (queries, { name, instead }) => ({
  erased: await renameMakers(queries, name, instead),
  inUse: [],
});
