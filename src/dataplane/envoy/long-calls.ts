import type { CallFacts } from './log-entry.ts';

/**
 * Says when a call counts: once, when it is over, as everywhere; but a WebSocket has its answer when it begins, and may go on for days, so
 * it counts when Envoy first tells that it goes on.
 */
export class LongCalls {
  readonly #counted = new Set<string>();

  /** True once for each call. */
  counts({ call, isOver, status }: Pick<CallFacts, 'call' | 'isOver' | 'status'>): boolean {
    if (isOver) return !this.#counted.delete(call);
    if (status !== SWITCHING_PROTOCOLS || this.#counted.has(call)) return false;
    this.#counted.add(call);
    if (this.#counted.size > MAXIMUM_CALLS) this.#counted.delete(this.#counted.values().next().value!);
    return true;
  }

  clear(): void {
    this.#counted.clear();
  }
}

const SWITCHING_PROTOCOLS = 101;
/** Past it the oldest count again when they end. */
const MAXIMUM_CALLS = 20_000;
