/** Where a server may be difficult on purpose, so that clients are tested against what the RFC allows and few servers do. */
export type Chaos = {
  /** True: this good nonce is refused; the client must take the new one and try again (RFC 8555 section 6.5). */
  readonly refuseNonce: () => boolean;
  /** How long a validation waits before it begins. */
  readonly validationDelayMs: () => number;
  /** Orders on a page of the list. */
  readonly pageSize: number;
};

export const noChaos: Chaos = { refuseNonce: () => false, validationDelayMs: () => 0, pageSize: 100 };

/** By count and not by chance, so that a test that fails fails again. Never two refusals in a row: clients try once more, not twice. */
export function makeChaos(): Chaos {
  let asked = 0;
  return {
    refuseNonce: () => ++asked % REFUSE_EVERY === 0,
    validationDelayMs: () => VALIDATION_DELAY_MS,
    pageSize: 3,
  };
}

const REFUSE_EVERY = 5;
const VALIDATION_DELAY_MS = 1_500;
