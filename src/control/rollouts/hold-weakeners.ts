import { sql } from 'kysely';
import type { PersonHolder } from '../audit/person-holder.ts';

/** Weakenings name the person who decided them, in the state of their path and in the step that brought it there, both as JSON. */
export const holdWeakeners: PersonHolder = async (queries, { name, instead }) => {
  // Inside a string of the JSON the quotes would be escaped, so that this is found as a member only.
  const [before, after] = [name, instead].map((by) => `"by":${JSON.stringify(by)}`);
  let erased = 0;
  for (const { table, column } of places) {
    const [into, field] = [sql.table(table), sql.ref(column)];
    const changed = sql`update ${into} set ${field} = replace(${field}, ${before}, ${after}) where replace(${field}, ${before}, '') <> ${field}`;
    erased += Number((await changed.execute(queries)).numAffectedRows ?? 0n);
  }
  // A planner that read the states before this plans again, or it would write the name back.
  if (erased > 0) await sql`update rollouts set revision = revision + 1`.execute(queries);
  return { erased, inUse: [] };
};

const places = [
  { table: 'rollout_paths', column: 'weakening' },
  { table: 'rollout_steps', column: 'moves' },
] as const;
