import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Identity } from '../data-plane/peer.ts';

/** A certificate with its key, made for one holder. */
export type DeliveredKey = {
  readonly serialHex: string;
  /** PEM: leaf and what is between it and the root; the key as PKCS#8. */
  readonly chainPem: string;
  readonly keyPem: string;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
};

export type KeyDelivery = {
  /** Makes a key and a certificate, and logs that they are handed out; null if the holder's profile does not say that it may be. */
  readonly deliver: (identity: Identity, now: Instant) => Promise<DeliveredKey | null>;
  /** When a key is replaced, two thirds of its life if not given. */
  readonly replacedAfterMs?: number;
  readonly clock: Clock;
  readonly log: Log;
};

/**
 * The key of one holder for as long as one stream of theirs is open: made when it is asked for, replaced when two thirds of its life are over, gone with the
 * stream. It is nowhere else.
 */
export class HeldIdentitySecret implements Disposable {
  readonly #identity: Identity;
  readonly #delivery: KeyDelivery;
  readonly #changed: () => void;
  #held: Promise<DeliveredKey | null> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isGone = false;

  /** `changed` is called when another is to be read. */
  constructor(identity: Identity, delivery: KeyDelivery, changed: () => void) {
    this.#identity = identity;
    this.#delivery = delivery;
    this.#changed = changed;
  }

  read(): Promise<DeliveredKey | null> {
    const held = (this.#held ??= this.#make(null));
    // A failure is not kept.
    held.catch(() => this.#held === held && (this.#held = null));
    return held;
  }

  [Symbol.dispose](): void {
    this.#isGone = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#held = null;
  }

  async #make(before: DeliveredKey | null): Promise<DeliveredKey | null> {
    const { clock, deliver, log, replacedAfterMs } = this.#delivery;
    try {
      const made = await deliver(this.#identity, clock.now());
      if (made === null) return null;
      const { notBefore, notAfter } = made;
      const dueMs = (notAfter - notBefore) * RENEWED_AFTER - (clock.now() - notBefore);
      this.#renewAfter(replacedAfterMs ?? Math.max(dueMs, RETRY_MS), made);
      return made;
    } catch (error) {
      if (before === null) throw error;
      log('warn', 'sds.key-not-renewed', { spiffeId: this.#identity.spiffeId, error });
      this.#renewAfter(RETRY_MS, before);
      return before;
    }
  }

  #renewAfter(delayMs: number, present: DeliveredKey): void {
    // The stream ended while the key was made: nobody would have the ones after it.
    if (this.#isGone) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#held = this.#make(present);
        this.#held.then(this.#changed, () => {});
      },
      Math.min(delayMs, MAXIMUM_DELAY_MS),
    ).unref();
  }
}

const RENEWED_AFTER = 2 / 3;
const RETRY_MS = 30_000;
/** What a timer of Node can wait. */
const MAXIMUM_DELAY_MS = 2_147_483_647;
