import type { PersonHolder } from '../audit/person-holder.ts';
import { listExternalAuthorities, setContacts } from './store.ts';

/** A contact that another CA was told is erased from the declaration by its mail address; what that CA keeps is its own. */
export const holdAuthorityContacts: PersonHolder = async (queries, { name }) => {
  const address = name.toLowerCase();
  let erased = 0;
  for (const { id, settings } of await listExternalAuthorities(queries, '*')) {
    const contacts = settings.contacts.filter((contact) => contact.toLowerCase() !== address);
    if (contacts.length === settings.contacts.length) continue;
    await setContacts(queries, id, { ...settings, contacts });
    erased += 1;
  }
  return { erased, inUse: [] };
};
