import type { Instant } from '../../core/time/instant.ts';

/** The only source of time. Timers stay with Node: a test waits for events, it does not move timers. */
export type Clock = {
  /** Wall time. May jump; never use it to measure a duration. */
  now(): Instant;
};

export const systemClock: Clock = { now: () => Date.now() };

/** A clock that stands still until it is moved; the second real implementation, for tests. */
export class ManualClock implements Clock {
  #now: Instant;

  constructor(start: Instant) {
    this.#now = start;
  }

  now(): Instant {
    return this.#now;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
  }
}
