/** The local ends of handshakes that we made with our own Envoy: what it logs of these is no traffic. */
export class OwnEnds {
  readonly #ends = new Set<string>();

  add(address: string): void {
    // A port that comes back is ours again.
    this.#ends.delete(address);
    this.#ends.add(address);
    if (this.#ends.size > MAXIMUM_ENDS) this.#ends.delete(this.#ends.values().next().value!);
  }

  has(address: string): boolean {
    return this.#ends.has(address);
  }

  /** True once for each: its end is the last that Envoy tells of it. */
  take(address: string): boolean {
    return this.#ends.delete(address);
  }
}

/** One a port and look; Envoy logs them within a second. */
const MAXIMUM_ENDS = 4_000;
