import type { Socket } from 'node:net';
import type { Address } from '../tls/address.ts';
import { type Dialer, dialWithFailover } from '../tls/dial.ts';
import { HealthChecks } from '../tls/health-checks.ts';
import { Replicas, type ReplicaWatch } from '../tls/replicas.ts';
import { NO_REPLICA_SETTINGS, type ReplicaSettings } from '../tls/replica-settings.ts';
import { GatedPool } from './gated-pool.ts';
import { Http2Pool, type StreamWish } from './http2-pool.ts';
import type { LinkedCall } from './http1-link.ts';
import type { PooledSocket } from './pooled-socket.ts';

export type UpstreamOptions = {
  readonly addresses: readonly Address[];
  readonly dial: Dialer;
  /** For connections of HTTP/1.1, where they are made otherwise. */
  readonly dialForCalls?: Dialer;
  /** For how long calls wait for addresses that refuse connections, as what restarts does. */
  readonly patienceMs: number;
  readonly replicas?: { readonly settings: ReplicaSettings; readonly watch: ReplicaWatch; readonly host: string };
  /** What a good connection is by itself: the end of a call, as in raw TCP, or nothing yet. */
  readonly countsConnections?: boolean;
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
  readonly #replicas: Replicas;
  readonly #checks: HealthChecks | null;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    const { addresses, dial, replicas } = options;
    this.#replicas = new Replicas(addresses, replicas?.settings ?? NO_REPLICA_SETTINGS, replicas?.watch);
    this.#checks = this.#startChecks(dial);
    this.#pools = addresses.map(() => null);
    this.#streamPools = addresses.map(() => null);
  }

  /** Carries one HTTP/1.1 call, and returns what may take it back while it waits. */
  carry(call: LinkedCall): GatedPool {
    this.#replicas.beginCall();
    const index = this.#replicas.next();
    const pool = (this.#pools[index] ??= this.#makePool(index));
    pool.carry(call);
    return pool;
  }

  /** Opens a stream of HTTP/2 for one call; the function returned takes it back while it waits for one. */
  openStream(wish: StreamWish): () => void {
    this.#replicas.beginCall();
    const index = this.#replicas.next();
    return (this.#streamPools[index] ??= this.#makeStreamPool(index)).open(wish);
  }

  /** A connection of its own, for streams that are no calls. @throws UpstreamFailure */
  async connect(): Promise<Socket> {
    const { socket } = await this.#dial(this.#replicas.next(), this.#options.dial);
    this.#watchEnd(socket, (leftMs) => setTimeout(() => socket.destroy(), leftMs * (0.5 + Math.random() / 2)).unref());
    return socket;
  }

  /** Finishes the calls under way, takes no new ones, and cuts what is left after this time. */
  async retire(withinMs: number): Promise<void> {
    this.#stopped.abort();
    this.#checks?.stop();
    for (const timer of this.#timers) clearTimeout(timer);
    const pools = [...this.#pools, ...this.#streamPools].filter((pool) => pool !== null);
    await Promise.all(pools.map((pool) => pool.retire(withinMs)));
    this.#replicas.stop();
  }

  /** Takes over what was learnt of the replicas of the endpoint on the way before. */
  learnFrom(before: Upstream): void {
    this.#replicas.learnFrom(before.#replicas);
  }

  /** True if a call may be sent again; another replica gets it, if there is one. */
  mayRepeat(why: 'unseen' | 'unanswered'): boolean {
    return !this.#stopped.signal.aborted && this.#replicas.mayRepeat(why);
  }

  #startChecks(dial: Dialer): HealthChecks | null {
    const { addresses, replicas } = this.#options;
    const settings = replicas?.settings.healthCheck ?? null;
    if (replicas === undefined || settings === null) return null;
    const onChecked = (index: number, isWell: boolean): void => this.#replicas.noteCheck(index, isWell);
    return new HealthChecks({ addresses, settings, dial, host: replicas.host, onChecked });
  }

  async #dial(first: number, dial: Dialer): Promise<{ readonly socket: Socket; readonly index: number }> {
    const { addresses, patienceMs, onConnection, onFailure } = this.#options;
    const order = this.#replicas.orderFrom(first);
    const onTried = (index: number, isGood: boolean): void =>
      void ((!isGood || this.#options.countsConnections) && this.#replicas.note(index, isGood));
    try {
      // A retired upstream still dials for the calls that it had taken before.
      const dialed = await dialWithFailover({ addresses, order, onTried, dial, patienceMs, signal: NEVER });
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

  async #dialPooled(index: number, dial: Dialer, isInForce: () => boolean): Promise<PooledSocket> {
    const dialed = await this.#dial(index, dial);
    if (dialed.index !== index) this.#replaceLater(index, isInForce);
    // Calls move to new connections before the certificate that this one was proved by has ended.
    this.#watchEnd(dialed.socket, (leftMs) => void (isInForce() && this.#replace(index, leftMs)));
    const replicas = this.#replicas;
    return { socket: dialed.socket, onOutcome: replicas.listens ? (isGood) => replicas.note(dialed.index, isGood) : null };
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
