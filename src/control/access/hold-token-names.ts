import type { PersonHolder } from '../audit/person-holder.ts';
import { findLiveTokensOf, renameEndedTokens } from './store.ts';

/** Ended tokens need no name any more; a live one names whoever acts with it. */
export const holdTokenNames: PersonHolder = async (queries, { name, instead }, now) => {
  const live = await findLiveTokensOf(queries, name, now);
  return { erased: await renameEndedTokens(queries, { name, instead }, now), inUse: live.map((id) => `live token ${id}`) };
};
