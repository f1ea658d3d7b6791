import { MINUTE_MS } from '../../core/time/instant.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Actor, AuditedDatabase, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { ExternalOrder } from './external-order.ts';
import { SYSTEM } from './open-session.ts';
import { updateExternalOrder } from './order-store.ts';

/** How a change of an order stands in the log. */
export type OrderEntry = {
  readonly type: `external-order.${string}`;
  readonly data?: { readonly [name: string]: JsonValue };
  /** Absent: the control plane itself. */
  readonly actor?: Actor;
};

/**
 * An order that this process drives until `dueAt`. Each change demands that it is still as it was read, and prolongs it: who was too slow and lost
 * it to another finds that out before he changes anything.
 */
export class HeldOrder {
  readonly #deps: { readonly database: AuditedDatabase; readonly clock: Clock };
  #order: ExternalOrder;

  constructor(deps: { readonly database: AuditedDatabase; readonly clock: Clock }, order: ExternalOrder) {
    this.#deps = deps;
    this.#order = order;
  }

  get order(): ExternalOrder {
    return this.#order;
  }

  /** Commits a change with its entry, and what belongs to it. @throws AcmeFailure of the type `conflict` if another has it */
  async move(
    change: Partial<ExternalOrder>,
    entry: OrderEntry | null,
    also: ((unit: AuditedUnit) => Promise<Partial<ExternalOrder> | void>) | null = null,
  ): Promise<void> {
    const { database, clock } = this.#deps;
    const held = this.#order;
    const { environment, region } = held;
    const now = clock.now();
    this.#order = await database.commit(async (unit) => {
      const kept = { ...held, dueAt: now + LEASE_MS };
      // What belongs to it would meet what the other has written already, so that it is claimed first.
      if (also !== null) await claim(unit, kept, held);
      const next = { ...kept, ...change, ...(await also?.(unit)) };
      await claim(unit, next, also === null ? held : kept);
      if (entry !== null) {
        const { type, actor = SYSTEM, data = {} } = entry;
        recordEntry(unit, { type, at: now, environment, region, actor, data: { order: held.id, ...data } });
      }
      return next;
    });
  }

  /** Stays its driver for a while longer; asked at each wait, written only when half of the time is over. */
  async keep(): Promise<void> {
    if (this.#order.dueAt - this.#deps.clock.now() < LEASE_MS / 2) await this.move({}, null);
  }
}

/** @throws AcmeFailure of the type `conflict` if the order is not any more as it was read */
async function claim({ queries }: AuditedUnit, next: ExternalOrder, held: ExternalOrder): Promise<void> {
  if (!(await updateExternalOrder(queries, next, held))) throw new AcmeFailure('deferred', CONFLICT, 'the order was changed by another');
}

/** Longer than any single wait for a CA or a webhook. What a crash left is taken up after it. */
export const LEASE_MS = 3 * MINUTE_MS;
export const CONFLICT = 'conflict';
