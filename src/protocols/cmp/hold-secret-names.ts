import type { PersonHolder } from '../../control/audit/person-holder.ts';
import { renameSecrets } from './secret-store.ts';

/** A secret may be named after whom it was made for; the name decides nothing. */
export const holdSecretNames: PersonHolder = async (queries, { name, instead }) => ({
  erased: await renameSecrets(queries, name, instead),
  inUse: [],
});
