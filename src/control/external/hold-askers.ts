import type { PersonHolder } from '../audit/person-holder.ts';
import { renameAsker } from './store.ts';

/** Who asked another CA for a certificate stands with the order, for the log's sake; nothing else needs the name. */
export const holdAskers: PersonHolder = async (queries, { name, instead }) => renameAsker(queries, name, instead);
