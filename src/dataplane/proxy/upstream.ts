import type { Socket } from 'node:net';
import type { Address } from '../tls/address.ts';
import { type Dialer, dialWithFailover } from '../tls/dial.ts';
import { GatedPool } from './gated-pool.ts';
import { Http2Pool, type StreamWish } from './http2-pool.ts';
import type { LinkedCall } from './http1-link.ts';

export type UpstreamOptions = {
  readonly addresses: readonly Address[];
  readonly dial: Dialer;
  /** For connections of HTTP/1.1, where they are made otherwise. */
  readonly dialForCalls?: Dialer;
  /** For how long calls wait for addresses that refuse connections, as what restarts does. */
  readonly patienceMs: number;
  /** Told of each new connection, of each that could not be made, and why. */
  readonly onConnection?: (socket: Socket) => void;
  readonly onFailure?: (error: Error) => void;
  /** Calls back before a new connection has to end, with how long it may last still; returns what takes that back. */
  readonly onEnding?: (socket: Socket, onEnding: (leftMs: number) => void) => () => void;
};

/**
 * The next hop: its addresses, and one way to speak to them, which never changes. Calls go round the addresses; a connection
 * that cannot be made goes to the next one. Another way to speak is another Upstream, while this one retires.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #pools: (GatedPool | null)[];
  readonly #streamPools: (Http2Pool | null)[];
  readonly #stopped = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();
  #next = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#pools = options.addresses.map(() => null);
    this.#streamPools = options.addresses.map(() => null);
  }

  /** Carries one HTTP/1.1 call, and returns what may take it back while it waits. A call of which an octet was written is never sent again. */
  carry(call: LinkedCall): GatedPool {
    const index = this.#turn();
    const pool = (this.#pools[index] ??= this.#makePool(index));
    pool.carry(call);
    return pool;
  }

  /** Opens a stream of HTTP/2 for one call; the function returned takes it back while it waits for one. */
  openStream(wish: StreamWish): () => void {
    const index = this.#turn();
    return (this.#streamPools[index] ??= this.#makeStreamPool(index)).open(wish);
  }

  /** A connection of its own, for streams that are no calls. @throws UpstreamFailure */
  async connect(): Promise<Socket> {
    const { socket } = await this.#dial(this.#turn(), this.#options.dial);
    this.#watchEnd(socket, (leftMs) => setTimeout(() => socket.destroy(), leftMs * (0.5 + Math.random() / 2)).unref());
    return socket;
  }

  /** Finishes the calls under way, takes no new ones, and cuts what is left after this time. */
  async retire(withinMs: number): Promise<void> {
    this.#stopped.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    const pools = [...this.#pools, ...this.#streamPools].filter((pool) => pool !== null);
    await Promise.all(pools.map((pool) => pool.retire(withinMs)));
  }

  #turn(): number {
    const index = this.#next;
    this.#next = (index + 1) % this.#options.addresses.length;
    return index;
  }

  async #dial(first: number, dial: Dialer): Promise<{ readonly socket: Socket; readonly index: number }> {
    const { addresses, patienceMs, onConnection, onFailure } = this.#options;
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

  #makePool(index: number): GatedPool {
    const { dial, dialForCalls = dial } = this.#options;
    const pool: GatedPool = new GatedPool(() => this.#dialPooled(index, dialForCalls, () => this.#pools[index] === pool));
    return pool;
  }

  #makeStreamPool(index: number): Http2Pool {
    const { dial } = this.#options;
    const pool: Http2Pool = new Http2Pool(() => this.#dialPooled(index, dial, () => this.#streamPools[index] === pool));
    return pool;
  }

  async #dialPooled(index: number, dial: Dialer, isInForce: () => boolean): Promise<Socket> {
    const dialed = await this.#dial(index, dial);
    if (dialed.index !== index) this.#replaceLater(index, isInForce);
    // Calls move to new connections before the certificate that this one was proved by has ended.
    this.#watchEnd(dialed.socket, (leftMs) => void (isInForce() && this.#replace(index, leftMs)));
    return dialed.socket;
  }

  #watchEnd(socket: Socket, onEnding: (leftMs: number) => void): void {
    const takeBack = this.#options.onEnding?.(socket, onEnding);
    if (takeBack !== undefined) socket.once('close', takeBack);
  }

  /** Of the two kinds of pools an address has only the one that its protocol needs. */
  #replace(index: number, leftMs = LONGEST_CALL_MS): void {
    void this.#pools[index]?.retire(LONGEST_CALL_MS);
    // Streams may last for ever, a certificate does not.
    void this.#streamPools[index]?.retire(leftMs * (0.5 + Math.random() / 2));
    this.#pools[index] = null;
    this.#streamPools[index] = null;
  }

  /** A pool that had to go to another address is replaced after a while, so that calls go round all addresses again. */
  #replaceLater(index: number, isInForce: () => boolean): void {
    if (this.#stopped.signal.aborted) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (isInForce()) this.#replace(index);
    }, DETOUR_MS).unref();
    this.#timers.add(timer);
  }
}

/** What is under way on a pool that is replaced without need may take its time. */
export const LONGEST_CALL_MS = 600_000;
/** How long calls stay with another address once they went there. */
const DETOUR_MS = 3_000;
const NEVER = new AbortController().signal;
