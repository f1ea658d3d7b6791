import { sql } from 'kysely';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Actor, AuditedDatabase } from './entry.ts';
import type { PersonHolder } from './person-holder.ts';
import { recordEntry } from './record-entry.ts';
import { deletePerson, findPersons } from './store.ts';

export type Erasure = { readonly name: string; readonly environment: string; readonly region: string };

/**
 * Forgets a person's clear name and salt, and the name in the rows of every slice. The leaves stay, and verify as before; whose hash they
 * hold cannot be told any more. Returns how many rows named the person.
 * @throws not-found; state-conflict if the person asks it of themselves, whom the entry would name again, or while something in use names them
 */
export async function erasePerson(
  { database, holders }: { readonly database: AuditedDatabase; readonly holders: readonly PersonHolder[] },
  { name, environment, region }: Erasure,
  actor: Actor,
  now: Instant,
): Promise<{ readonly rows: number }> {
  if (actor.kind === 'person' && actor.name === name)
    throw new Problem('state-conflict', 'Cannot erase person: the one who erases enters the log, expected somebody else');
  return database.commit(async (unit) => {
    // What SQLite deletes it otherwise leaves in its file until something else is written there.
    if (database.kind === 'sqlite') await sql`pragma secure_delete = on`.execute(unit.queries);
    const hash = (await findPersons(unit.queries, [name]))[0]?.name_hash ?? null;
    const person = { name, instead: hash ?? UNKNOWN };
    let rows = 0;
    const inUse: string[] = [];
    for (const holder of holders) {
      const held = await holder(unit.queries, person, now);
      rows += held.erased;
      inUse.push(...held.inUse);
      for (const ended of held.ended ?? []) recordEntry(unit, { ...ended, at: now, actor });
    }
    if (inUse.length > 0) throw new Problem('state-conflict', `Cannot erase person: ${list(inUse)} would lose its name, expected another`);
    if (await deletePerson(unit.queries, name)) rows += 1;
    if (rows === 0) throw new Problem('not-found', 'Cannot erase person: nothing names one so');
    recordEntry(unit, { type: 'person.erased', at: now, environment, region, actor, data: { hash, rows } });
    return { rows };
  });
}

function list(things: readonly string[]): string {
  const more = things.length - MAXIMUM_SHOWN;
  return `${things.slice(0, MAXIMUM_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Whoever the log does not know has no hash. */
const UNKNOWN = 'erased';
/** Enough to begin with. */
const MAXIMUM_SHOWN = 10;
