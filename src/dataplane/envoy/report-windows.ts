import type { Instant } from '../../core/time/instant.ts';
import { type Counted, Counters } from '../tls/counters.ts';

export type TakenWindow = { readonly start: Instant; readonly end: Instant; readonly counted: Counted };

/**
 * Counts by the window in which something happened, for what is told of it later. Windows end at whole multiples of their width, as the
 * control plane's buckets do. What comes after its window was taken goes to the earliest that was not: nothing is lost, nothing counted twice.
 */
export class ReportWindows {
  readonly #widthMs: () => number;
  readonly #open = new Map<Instant, Counters>();
  #takenUntil: Instant;
  #last: Counters | null = null;
  #lastEnd: Instant = 0;

  constructor(start: Instant, widthMs: () => number) {
    this.#takenUntil = start;
    this.#widthMs = widthMs;
  }

  /** Where something counts that happened then. */
  at(instant: Instant): Counters {
    const end = this.#endAfter(Math.max(instant, this.#takenUntil));
    if (this.#last !== null && end === this.#lastEnd) return this.#last;
    const counters = this.#open.get(end) ?? new Counters();
    this.#open.set(end, counters);
    [this.#last, this.#lastEnd] = [counters, end];
    return counters;
  }

  /** The end of the window that is to be taken now. Who is far behind takes several as one. */
  dueAt(now: Instant): Instant {
    // A rest that a clock left goes with the next, else this would be one window late from then on.
    const end = this.#endAfter(this.#takenUntil + this.#widthMs() / 2);
    if (now - end > MOST_BEHIND * this.#widthMs()) return this.#endAfter(now) - this.#widthMs();
    return Math.max(this.#takenUntil, Math.min(end, now));
  }

  /** All that happened until then; of a window that is cut short, all that there is. */
  take(until: Instant): TakenWindow {
    const [start, width] = [this.#takenUntil, this.#widthMs()];
    const taken: Counted[] = [];
    for (const [end, counters] of this.#open) {
      if (end - width >= until) continue;
      taken.push(counters.take());
      this.#open.delete(end);
    }
    this.#last = null;
    this.#takenUntil = until;
    return { start, end: until, counted: sumOf(taken) };
  }

  #endAfter(instant: Instant): Instant {
    const width = this.#widthMs();
    return instant - (instant % width) + width;
  }
}

/** Equal counts stand beside each other until the report adds them up. */
function sumOf(taken: readonly Counted[]): Counted {
  return {
    counts: taken.flatMap(({ counts }) => counts),
    refusals: taken.flatMap(({ refusals }) => refusals),
    refusalsDropped: taken.reduce((sum, { refusalsDropped }) => sum + refusalsDropped, 0n),
    replicas: taken.flatMap(({ replicas }) => replicas),
  };
}

/** Windows that are taken one by one after a pause. */
const MOST_BEHIND = 10;
