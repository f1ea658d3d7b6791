import type { Instant } from '../../core/time/instant.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Actor, AuditedDatabase } from './entry.ts';
import { recordEntry } from './record-entry.ts';
import { deletePerson } from './store.ts';

/**
 * Forgets a person's clear name and salt. The leaves stay, and verify as before; whose hash they hold cannot be told any more.
 * @throws not-found; state-conflict if the person asks it of themselves: the entry that says so would name them again
 */
export async function erasePerson(
  { database }: { readonly database: AuditedDatabase },
  { name, environment, region }: { readonly name: string; readonly environment: string; readonly region: string },
  actor: Actor,
  now: Instant,
): Promise<void> {
  await database.commit(async (unit) => {
    if (!(await deletePerson(unit.queries, name)))
      throw new Problem('not-found', 'Cannot erase person: there is none of that name in the log');
    if (actor.kind === 'person' && actor.name === name)
      throw new Problem('state-conflict', 'Cannot erase person: the one who erases enters the log, expected somebody else');
    recordEntry(unit, { type: 'person.erased', at: now, environment, region, actor, data: {} });
  });
}
