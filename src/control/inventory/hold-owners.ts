import type { PersonHolder } from '../audit/person-holder.ts';
import type { InventoryTables } from './rows.ts';

/**
 * The owner of a declared thing stands in its row in clear, because the operator declared it and the next declaration would bring it
 * back: another owner has to be declared first.
 */
export const holdOwners: PersonHolder = async (queries, { name }) => {
  const inUse: string[] = [];
  for (const [table, noun] of owned) {
    const rows = await queries
      .withTables<InventoryTables>()
      .selectFrom(table)
      .select(['environment', 'name'])
      .where('owner', '=', name)
      .orderBy('environment')
      .orderBy('name')
      .execute();
    inUse.push(...rows.map((row) => `${noun} ${row.environment}/${row.name}`));
  }
  return { erased: 0, inUse };
};

const owned = [
  ['services', 'service'],
  ['endpoints', 'endpoint'],
  ['exceptions', 'exception'],
] as const;
