/**
 * The local ends of handshakes that we made with our own Envoy: what it logs of these is no traffic. Two at once may have the same one, where they go to different
 * addresses: each is taken by itself.
 */
export class OwnEnds {
  readonly #ends = new Map<string, number>();

  add(address: string): void {
    const count = this.#ends.get(address) ?? 0;
    // A port that comes back is the newest.
    this.#ends.delete(address);
    this.#ends.set(address, count + 1);
    if (this.#ends.size > MAXIMUM_ENDS) this.#ends.delete(this.#ends.keys().next().value!);
  }

  has(address: string): boolean {
    return this.#ends.has(address);
  }

  /** True once for each: its end is the last that Envoy tells of it. */
  take(address: string): boolean {
    const count = this.#ends.get(address) ?? 0;
    if (count > 1) this.#ends.set(address, count - 1);
    else this.#ends.delete(address);
    return count > 0;
  }
}

/** One a port and look; Envoy logs them within a second. */
const MAXIMUM_ENDS = 4_000;
