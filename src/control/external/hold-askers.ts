import type { PersonHolder } from '../audit/person-holder.ts';
import { renameRevoker } from './foreign-revocation-store.ts';
import { renameAsker } from './order-store.ts';

/** Who asked another CA for a certificate or its revocation stands with the order, for the log's sake; nothing else needs the name. */
export const holdAskers: PersonHolder = async (queries, { name, instead }) => ({
  erased: (await renameAsker(queries, name, instead)) + (await renameRevoker(queries, name, instead)),
  inUse: [],
});
