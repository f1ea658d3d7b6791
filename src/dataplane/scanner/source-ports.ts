import { BoundSocket, isIP } from 'node:net';
import { SECOND_MS } from '../../core/time/instant.ts';

/**
 * Sockets for connections that a proxy may know by their source port alone: none has a port that another of ours had a short while ago. The system itself gives the same port to
 * two connections at once where they go to different addresses, behind which may be the same endpoint.
 */
export class SourcePorts {
  readonly #now: () => number;
  /** When a port was last taken, in the order of taking. */
  readonly #taken = new Map<number, number>();

  /** `now` counts milliseconds and never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined where the system has to choose: for a name, whose family is not known, and where nothing fresh was found. */
  take(host: string): BoundSocket | undefined {
    const now = this.#now();
    for (const [port, at] of this.#taken) {
      if (now - at <= FRESH_AFTER_MS) break;
      this.#taken.delete(port);
    }
    const family = isIP(host);
    if (family === 0) return undefined;
    for (let attempt = 0; attempt < MAXIMUM_ATTEMPTS; attempt++) {
      const bound = new BoundSocket({ host: family === 6 ? '::' : '0.0.0.0', port: 0 });
      const { port } = bound.address();
      if (!this.#taken.has(port)) {
        this.#taken.set(port, now);
        return bound;
      }
      bound.close();
    }
    return undefined;
  }
}

/** Twice the time about which a refusal is taken for that of a connection from the same port (`findSighting`), and a shot. */
const FRESH_AFTER_MS = 40 * SECOND_MS;
const MAXIMUM_ATTEMPTS = 32;
