import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import type { Address } from './address.ts';
import { type Dialer, dialWithFailover } from './dial.ts';

export type UpstreamOptions = {
  readonly addresses: readonly Address[];
  readonly dial: Dialer;
  /** For how long calls wait for addresses that refuse connections, as what restarts does. */
  readonly patienceMs: number;
  /** Told of each new connection, of each that could not be made, and why. */
  readonly onConnection?: (socket: Socket) => void;
  readonly onFailure?: (error: Error) => void;
};

/**
 * The next hop: its addresses, and one way to speak to them, which never changes. Calls go round the addresses; a connection
 * that cannot be made goes to the next one. Another way to speak is another Upstream, while this one retires.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #pools: (Pool | null)[];
  readonly #stopped = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();
  #next = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#pools = options.addresses.map(() => null);
  }

  /** Sends one HTTP call. A call of which an octet was written is never sent again. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const index = this.#turn();
    const pool = (this.#pools[index] ??= this.#makePool(index));
    pool.dispatch(options, handler);
  }

  /** A connection of its own, for streams that are no calls. @throws UpstreamFailure */
  async connect(): Promise<Socket> {
    return (await this.#dial(this.#turn())).socket;
  }

  /** Finishes the calls under way, takes no new ones, and cuts what is left after this time. */
  async retire(withinMs: number): Promise<void> {
    this.#stopped.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    const pools = this.#pools.filter((pool) => pool !== null);
    await Promise.all(pools.map((pool) => retirePool(pool, withinMs)));
  }

  #turn(): number {
    const index = this.#next;
    this.#next = (index + 1) % this.#options.addresses.length;
    return index;
  }

  async #dial(first: number): Promise<{ readonly socket: Socket; readonly index: number }> {
    const { addresses, dial, patienceMs, onConnection, onFailure } = this.#options;
    try {
      // A retired upstream still dials for the calls that it had taken before.
      const dialed = await dialWithFailover({ addresses, first, dial, patienceMs, signal: NEVER });
      onConnection?.(dialed.socket);
      return dialed;
    } catch (error) {
      onFailure?.(error as Error);
      throw error;
    }
  }

  #makePool(index: number): Pool {
    // The URL only names the pool: the connector below decides where connections go.
    return new Pool(`http://upstream-${index}.invalid`, {
      ...POOL,
      connect: (_options, callback) => {
        this.#dial(index).then(
          (dialed) => {
            if (dialed.index !== index) this.#replaceLater(index);
            callback(null, dialed.socket);
          },
          (error: Error) => callback(error, null),
        );
      },
    });
  }

  /** A pool that had to go to another address is replaced after a while, so that calls go round all addresses again. */
  #replaceLater(index: number): void {
    const pool = this.#pools[index];
    if (this.#stopped.signal.aborted || pool == null) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#pools[index] !== pool) return;
      this.#pools[index] = null;
      void retirePool(pool, LONGEST_CALL_MS);
    }, DETOUR_MS).unref();
    this.#timers.add(timer);
  }
}

/** Idle connections are closed by this side, so a call cannot meet a close; busy ones finish first. */
async function retirePool(pool: Pool, withinMs: number): Promise<void> {
  const timer = setTimeout(() => void pool.destroy().catch(ignore), withinMs).unref();
  await pool.close().catch(ignore);
  clearTimeout(timer);
}

function ignore(): void {}

/** What is under way on a pool that is replaced without need may take its time. */
export const LONGEST_CALL_MS = 600_000;
/** How long calls stay with another address once they went there. */
const DETOUR_MS = 3_000;
const NEVER = new AbortController().signal;

/**
 * An idle connection is closed by this side well before the other side would: after four seconds, or one second before the end
 * that the other side announced (RFC 9112 section 9.3.1 gives no other remedy for a call that meets a close).
 */
const POOL = {
  connections: 512,
  pipelining: 1,
  keepAliveTimeout: 4_000,
  keepAliveMaxTimeout: 4_000,
  keepAliveTimeoutThreshold: 1_000,
  maxHeaderSize: 65_536,
  /** A service may take long to think; the caller's own patience ends it before. */
  headersTimeout: 300_000,
  /** Streams may be silent for as long as both ends like. */
  bodyTimeout: 0,
  allowH2: false,
} as const;
