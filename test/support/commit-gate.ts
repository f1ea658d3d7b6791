import { sql } from 'kysely';
import type { AuditedDatabase, AuditEntry } from '../../src/control/audit/entry.ts';

/** Keeps a commit open, in its transaction and with everything written, from when its unit staged an entry of the type until it is released. */
export class CommitGate {
  #release: (() => void) | null = null;
  #held: { readonly type: AuditEntry['type']; readonly reached: () => void; readonly released: Promise<void> } | null = null;

  /** The next commit with such an entry is kept open. Await `reached` before anything that it must not overlook. */
  hold(type: AuditEntry['type']): { readonly reached: Promise<void>; readonly release: () => void } {
    const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#release = released.resolve;
    this.#held = { type, reached: reached.resolve, released: released.promise };
    return { reached: reached.promise, release: released.resolve };
  }

  /** A test that failed meanwhile must end all the same. */
  [Symbol.dispose](): void {
    this.#release?.();
  }

  readonly wrap = (database: AuditedDatabase): AuditedDatabase => ({
    ...database,
    queries: database.queries,
    commit: (unit, alone) =>
      database.commit(async (work) => {
        const types: string[] = [];
        const made = await unit({ queries: work.queries, stage: (item) => (types.push(item.entry.type), work.stage(item)) });
        const held = this.#held;
        if (held === null || !types.includes(held.type)) return made;
        this.#held = null;
        held.reached();
        await held.released;
        return made;
      }, alone),
  });
}

/** The other server's answer, or that it waits for a lock that this one holds. */
export async function answeredOrWaiting(
  answer: Promise<unknown>,
  { database }: { readonly database: AuditedDatabase },
): Promise<'answered' | 'waiting'> {
  let state: 'answered' | 'waiting' | null = null;
  void answer.then(() => (state = 'answered'));
  while (state === null) {
    const { rows } = await sql<{ waits: number }>`
      select count(*) as waits, pg_sleep(0.002) from pg_locks join pg_database on pg_database.oid = pg_locks.database
      where datname = current_database() and not granted`.execute(database.queries);
    if (state === null && rows[0]!.waits > 0) state = 'waiting';
  }
  return state;
}
