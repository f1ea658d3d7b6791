import type { Clock } from '../../platform/clock/clock.ts';

/**
 * When a data plane reports: at a moment of its own in the first quarter of each interval of the clock. So windows are as long as they say
 * and end near where the control plane's buckets do, whatever a report takes, and a fleet does not report at once.
 */
export class ReportCadence {
  readonly #clock: Clock;
  readonly #share: number;
  /** The last moment that was given out, counted in intervals. */
  #given: { readonly moment: number; readonly intervalMs: number } | null = null;

  /** `random` between 0 and 1. */
  constructor(clock: Clock, random: number) {
    this.#clock = clock;
    this.#share = random / 4;
  }

  /** Milliseconds until the next report; 0 while some are to be made up for. */
  nextIn(intervalMs: number): number {
    const intervals = this.#clock.now() / intervalMs - this.#share;
    const passed = Math.floor(intervals);
    const given = this.#given?.intervalMs === intervalMs ? this.#given.moment : null;
    // Of a long sleep nothing is made up for, nor of a clock that was set back.
    const isNear = given !== null && Math.abs(given - passed) <= (given > passed ? 1 : MOST_BEHIND);
    const moment = (isNear ? given : passed) + 1;
    this.#given = { moment, intervalMs };
    return Math.max(0, (moment - intervals) * intervalMs);
  }
}

const MOST_BEHIND = 10;
