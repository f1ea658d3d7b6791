import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';

/** Which generation was in force when: Envoy tells of what happened a moment later, and does not say under which settings. */
export class GenerationHistory {
  readonly #clock: Clock;
  #known: { readonly generation: bigint; readonly since: Instant }[] = [];
  #isInForce = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What Envoy runs; 0 while that is not known. */
  get current(): bigint {
    return this.#isInForce ? this.latest : 0n;
  }

  /** What was last known to be in force, whether Envoy is there or not. */
  get latest(): bigint {
    return this.#known.at(-1)?.generation ?? 0n;
  }

  begin(generation: bigint): void {
    this.#isInForce = true;
    if (this.#known.at(-1)?.generation === generation) return;
    this.#known = [...this.#known, { generation, since: this.#clock.now() }].slice(-MAXIMUM_KNOWN);
  }

  at(instant: Instant): bigint {
    const found = this.#known.findLast(({ since }) => since <= instant) ?? this.#known[0];
    return found?.generation ?? 0n;
  }

  envoyWentAway(): void {
    this.#isInForce = false;
  }
}

/** Waves change settings every few seconds, and Envoy's logs come within one. */
const MAXIMUM_KNOWN = 32;
