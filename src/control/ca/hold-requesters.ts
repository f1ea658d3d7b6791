import { sql } from 'kysely';
import type { Queries } from '../../platform/db/database.ts';
import type { PersonHolder, PersonHeld } from '../audit/person-holder.ts';
import { personOf } from './judge-request.ts';
import { eraseJudges, erasePersonOfSettled, listOpenOf } from './waiting-persons.ts';

/**
 * Who asked for a certificate stands beside it, to be found by; who asked and who approved stand with a request that waited. While one waits it needs both
 * names, because nobody approves of his own, nor twice. Pipelines and other machines keep theirs.
 */
export const holdRequesters: PersonHolder = async (queries, { name, instead }): Promise<PersonHeld> => {
  const judge = personOf(name);
  const open = await listOpenOf(queries, { asker: name, approver: judge });
  if (open.length > 0) return { erased: 0, inUse: open.map((id) => `request ${id}, which waits,`) };
  const erased =
    (await eraseAsker(queries, name, instead)) +
    (await erasePersonOfSettled(queries, name, instead)) +
    (await eraseJudges(queries, judge, instead));
  return { erased, inUse: [] };
};

async function eraseAsker(queries: Queries, name: string, instead: string): Promise<number> {
  // What came from another CA has no role; who asked for that may have been a machine, which then loses its name here and nowhere else.
  const { numAffectedRows } = await sql`
    update certificates set asker = ${instead} where asker = ${name} and (asker_role is null or asker_role <> 'ci')`.execute(queries);
  return Number(numAffectedRows ?? 0n);
}
