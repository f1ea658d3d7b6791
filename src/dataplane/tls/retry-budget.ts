/**
 * How many calls may be sent again: a share of all calls, and a few a second where calls are rare. So retries end by themselves where
 * most calls fail, instead of doubling the load of what is down.
 */
export class RetryBudget {
  readonly #percent: number;
  readonly #perSecond: number;
  /** Calls that may be sent again, in hundredths. */
  #saved = 0;
  #few: number;
  #filledAt: number;

  constructor({ percent, minimumPerSecond }: { readonly percent: number; readonly minimumPerSecond: number }, nowMs: number) {
    this.#percent = percent;
    this.#perSecond = minimumPerSecond;
    this.#few = minimumPerSecond;
    this.#filledAt = nowMs;
  }

  /** One call was begun. */
  save(): void {
    this.#saved = Math.min(MAXIMUM_SAVED, this.#saved + this.#percent);
  }

  /** True if one may be sent again, which is charged. `nowMs` only rises. */
  take(nowMs: number): boolean {
    if (this.#saved >= 100) {
      this.#saved -= 100;
      return true;
    }
    this.#few = Math.min(this.#perSecond, this.#few + ((nowMs - this.#filledAt) / 1_000) * this.#perSecond);
    this.#filledAt = nowMs;
    if (this.#few < 1) return false;
    this.#few -= 1;
    return true;
  }
}

/** As many calls as one replica has under way when it dies; what was saved in a good hour is no budget for a bad one. */
const MAXIMUM_SAVED = 25_600;
