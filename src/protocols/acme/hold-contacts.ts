import type { PersonHolder } from '../../control/audit/person-holder.ts';
import { listAccountsWithContact, setContacts } from './account-store.ts';

/** A contact is erased by its mail address, whatever the account's standing. */
export const holdContacts: PersonHolder = async (queries, { name }) => {
  const contact = `mailto:${name}`.toLowerCase();
  const accounts = await listAccountsWithContact(queries, contact);
  for (const { id, contacts } of accounts) {
    const kept = contacts.filter((other) => other.toLowerCase() !== contact);
    await setContacts(queries, id, kept);
  }
  return { erased: accounts.length, inUse: [] };
};
