import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';

/**
 * Which messages this process has seen, so that none is answered twice. Only those whose protection was verified come in, and a message of another time than
 * this is refused anyway, so that what is older can be forgotten. What another process answered, or this one before it was started, is known by the rows of
 * transactions if a certificate came of it; the rest is done already, or changes nothing.
 */
export class SeenMessages {
  readonly #seen = new Map<string, Instant>();

  /** False if it was seen before. */
  take(key: string, now: Instant): boolean {
    this.#forget(now);
    if (this.#seen.has(key)) return false;
    this.#seen.set(key, now);
    return true;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** They came in the order of their time, so the first that is young ends it. */
  #forget(now: Instant): void {
    for (const [key, seenAt] of this.#seen) {
      if (now - seenAt <= 2 * MESSAGE_WINDOW_MS && this.#seen.size < MAXIMUM_SEEN) return;
      this.#seen.delete(key);
    }
  }
}

/** How far the clock of a device may be off, and how long a message may be under way. */
export const MESSAGE_WINDOW_MS = 5 * MINUTE_MS;
/** Some 200 octets each. At more than 300 messages a second the oldest are forgotten early, which the commits behind it make harmless. */
const MAXIMUM_SEEN = 200_000;
