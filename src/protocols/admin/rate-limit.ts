import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';

/** So many attempts in a time, over all callers: a guesser cannot be told from others by an address that is a balancer's. */
export class RateLimit {
  readonly #attempts: number;
  readonly #windowMs: number;
  #windowStart: Instant = 0;
  #used = 0;

  constructor({ attempts, windowMs }: { readonly attempts: number; readonly windowMs: number }) {
    this.#attempts = attempts;
    this.#windowMs = windowMs;
  }

  /** @throws rate-limited */
  take(now: Instant): void {
    // A clock that was set back begins a new window, it does not close the door until it has caught up.
    if (now >= this.#windowStart + this.#windowMs || now < this.#windowStart) {
      this.#windowStart = now;
      this.#used = 0;
    }
    this.#used += 1;
    if (this.#used > this.#attempts)
      throw new Problem('rate-limited', `Cannot try again: ${this.#attempts} attempts in ${this.#windowMs} ms are used up`);
  }
}
