/** Runs a few things at a time, first come first served: so many handshakes are made at once, and no more. */
export class DialQueue {
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  async run<T>(dial: () => Promise<T>): Promise<T> {
    if (this.#running >= MAXIMUM_DIALS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await dial();
    } finally {
      const next = this.#waiting.shift();
      // The place goes on to whoever is next.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/** A handshake costs about a millisecond of a core on each side, so eight at a time keep the queue short without filling the machine. */
const MAXIMUM_DIALS = 8;
