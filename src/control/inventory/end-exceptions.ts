import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { advanceInventoryRevision, listUnwrittenEnds, markEnded } from './store.ts';

/**
 * Writes down, once, that exceptions have ended, and has settings made without them. The proxies ended them by their own clocks already.
 * @returns how many
 */
export async function endExceptions(
  { database, changed }: { readonly database: AuditedDatabase; readonly changed: Signal },
  now: Instant,
): Promise<number> {
  if ((await listUnwrittenEnds(database.queries, now)).length === 0) return 0;
  const ended = await database.commit(async (unit) => {
    const over = await listUnwrittenEnds(unit.queries, now);
    for (const { id, name, kind, until, environment, region } of over) {
      recordEntry(unit, {
        type: 'exception.ended',
        at: now,
        environment,
        region,
        actor: { kind: 'system', name: 'inventory' },
        data: { id, name, exception: kind, until },
      });
    }
    if (over.length === 0) return 0;
    await markEnded(
      unit.queries,
      over.map(({ id }) => id),
      now,
    );
    await advanceInventoryRevision(unit.queries);
    return over.length;
  });
  if (ended > 0) changed.notify();
  return ended;
}
