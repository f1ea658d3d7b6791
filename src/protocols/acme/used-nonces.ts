/**
 * Which counters were used, of each process that issued them: one bit for each of the last `WINDOW` counters, so that a million nonces
 * are remembered in 128 KiB and nothing grows. A counter below its window counts as used.
 */
export class UsedNonces {
  readonly #windows = new Map<string, Window>();

  /** True once for each counter of an issuer; false ever after. */
  take(issuer: string, counter: number): boolean {
    const window = this.#windowOf(issuer);
    if (counter > window.highest) advance(window, counter);
    if (counter <= window.highest - WINDOW) return false;
    const at = counter % WINDOW;
    const bit = 1 << (at & 31);
    if ((window.bits[at >> 5]! & bit) !== 0) return false;
    window.bits[at >> 5]! |= bit;
    return true;
  }

  #windowOf(issuer: string): Window {
    const held = this.#windows.get(issuer);
    if (held !== undefined) return held;
    // Issuers are processes with our secret, so a flood of them is not an attack; the oldest is the likeliest to be gone.
    if (this.#windows.size >= MAXIMUM_ISSUERS) this.#windows.delete(this.#windows.keys().next().value!);
    const window: Window = { bits: new Int32Array(WINDOW / 32), highest: 0 };
    this.#windows.set(issuer, window);
    return window;
  }
}

type Window = { readonly bits: Int32Array; highest: number };

/** Moves the window up; counters between the old and the new highest are unused. */
function advance(window: Window, counter: number): void {
  if (counter - window.highest >= WINDOW) window.bits.fill(0);
  else for (let at = window.highest + 1; at <= counter; at++) window.bits[(at % WINDOW) >> 5]! &= ~(1 << ((at % WINDOW) & 31));
  window.highest = counter;
}

/** A power of two: how many nonces may be issued before an unused one is refused. */
const WINDOW = 2 ** 20;
const MAXIMUM_ISSUERS = 16;
