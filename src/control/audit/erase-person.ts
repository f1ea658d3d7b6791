import type { Instant } from '../../core/time/instant.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Actor, AuditedDatabase } from './entry.ts';
import { recordEntry } from './record-entry.ts';
import { deletePerson } from './store.ts';

/**
 * Forgets a person's clear name and salt. The leaves stay, and verify as before; whose hash they hold cannot be told any more.
 * @throws not-found
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
    recordEntry(unit, { type: 'person.erased', at: now, environment, region, actor, data: {} });
  });
}
