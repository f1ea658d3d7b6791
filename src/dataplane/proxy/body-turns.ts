/**
 * Turns for the calls of one caller's connection whose body is not whole and yet holds a connection to the service: a few at a time,
 * first come first served. Else a caller with a few connections of HTTP/2, each with its streams half sent, could take them all.
 */
export class BodyTurns {
  readonly #waiting = new Set<() => void>();
  #free = MAXIMUM_TURNS;
  /** How many answers the caller leaves lying. */
  unread = 0;

  /** Calls back when it is the call's turn, perhaps at once; the function returned ends the turn, or the wait for it. */
  take(onTurn: () => void): () => void {
    let state: 'waiting' | 'taken' | 'left' = 'waiting';
    const begin = (): void => {
      state = 'taken';
      onTurn();
    };
    const leave = (): void => {
      const before = state;
      state = 'left';
      if (before === 'waiting') this.#waiting.delete(begin);
      else if (before === 'taken') this.#pass();
    };
    if (this.#free > 0) {
      this.#free -= 1;
      begin();
    } else this.#waiting.add(begin);
    return leave;
  }

  #pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/** A caller that sends many large bodies at once is bound by its line with fewer; sixteen such connections would fill the pool. */
export const MAXIMUM_TURNS = 16;
