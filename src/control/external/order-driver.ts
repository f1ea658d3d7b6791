import type { Log } from '../../platform/log/logger.ts';
import { driveOrder } from './drive-order.ts';
import { LEASE_MS } from './held-order.ts';
import type { ExternalDeps } from './open-session.ts';
import { takeDueOrders } from './order-store.ts';

/** Drives orders at other CAs, some at a time. What a process leaves undone, the next `run` of any takes over. */
export class OrderDriver implements AsyncDisposable {
  readonly #deps: ExternalDeps & { readonly log: Log };
  readonly #running = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(deps: ExternalDeps & { readonly log: Log }) {
    this.#deps = deps;
  }

  /** Takes what is due and begins with it; does not wait for the CA. */
  async run(): Promise<number> {
    const limit = MAXIMUM_RUNNING - this.#running.size;
    if (limit <= 0 || this.#stopping.signal.aborted) return 0;
    const { database, clock, log } = this.#deps;
    const now = clock.now();
    const taken = await database.commit((unit) => takeDueOrders(unit.queries, { now, until: now + LEASE_MS, limit }));
    for (const order of taken) {
      const work = driveOrder({ ...this.#deps, signal: this.#stopping.signal }, order)
        .catch((err: unknown) => log('error', 'external order failed inside', { orderId: order.id, err }))
        .finally(() => this.#running.delete(order.id));
      this.#running.set(order.id, work);
    }
    return taken.length;
  }

  /** Resolves when nothing of it is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.settled();
  }
}

/** Each holds a connection or two. */
const MAXIMUM_RUNNING = 16;
