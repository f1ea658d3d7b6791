import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { PooledSocket } from './pooled-socket.ts';
import { Link, type LinkedCall, type LinkOwner, reasonOf } from './http1-link.ts';

export type GateLimits = {
  /** So many handshakes are made at a time, and no more. */
  readonly dials: number;
  readonly connections: number;
  /** Calls that wait for their turn; one more is refused at once. */
  readonly waiting: number;
  readonly waitMs: number;
  /** For how long an answer that its reader leaves lying holds its connection while others wait for one. */
  readonly heldMs: number;
};

/**
 * The connections to one address, and the calls that wait for one. Where every call that finds no connection free made its own, a
 * machine under load would spend itself on handshakes, which makes calls slower still; so calls wait for a free connection or their
 * turn to make one, first come first served, for a bounded time in a bounded queue.
 */
export class GatedPool implements LinkOwner {
  readonly #dial: () => Promise<PooledSocket>;
  readonly #limits: GateLimits;
  readonly #links = new Set<Link>();
  /** The one used last first, so that what is not needed falls idle and is closed. */
  readonly #idle: Link[] = [];
  readonly #waiting = new Map<LinkedCall, NodeJS.Timeout>();
  /** Whose reader stands still, and since when; the longest first. */
  readonly #held = new Map<Link, number>();
  #reliefTimer: NodeJS.Timeout | null = null;
  readonly #emptied = Promise.withResolvers<void>();
  #dialing = 0;
  #isRetiring = false;

  constructor(dial: () => Promise<PooledSocket>, limits: GateLimits = GATE_LIMITS) {
    this.#dial = dial;
    this.#limits = limits;
  }

  /** Hands the call a connection when there is one for it. */
  carry(call: LinkedCall): void {
    for (let link = this.#idle.pop(); link !== undefined; link = this.#idle.pop()) {
      if (link.isUsable) return link.begin(call);
    }
    const { waiting, waitMs } = this.#limits;
    const mayDial = this.#mayDial();
    if (!mayDial && this.#waiting.size >= waiting + this.#dialing) return call.onFailure('limit-exceeded');
    this.#waiting.set(
      call,
      setTimeout(() => this.#giveUp(call, 'timeout'), waitMs),
    );
    if (mayDial) void this.#dialOne();
    else this.#relieve();
  }

  /** Takes back a call that waits still. */
  cancel(call: LinkedCall): void {
    clearTimeout(this.#waiting.get(call));
    this.#waiting.delete(call);
    this.#settle();
  }

  /** Finishes the calls it was given, and cuts what is left after this time. Idle connections are closed at once. */
  async retire(withinMs: number): Promise<void> {
    this.#isRetiring = true;
    const timer = setTimeout(() => this.#destroy(), withinMs).unref();
    for (const link of this.#idle.splice(0)) link.abort();
    this.#settle();
    await this.#emptied.promise;
    clearTimeout(timer);
  }

  onFree(link: Link): void {
    if (this.#held.size > 0) this.#held.delete(link);
    const call = this.#take();
    if (call !== null) link.begin(call);
    else if (this.#isRetiring) link.abort();
    else this.#idle.push(link);
  }

  onHeld(link: Link): void {
    if (!this.#held.has(link)) this.#held.set(link, performance.now());
    if (this.#waiting.size > this.#dialing) this.#relieve();
  }

  onReleased(link: Link): void {
    this.#held.delete(link);
  }

  onGone(link: Link): void {
    this.#links.delete(link);
    this.#held.delete(link);
    const at = this.#idle.indexOf(link);
    if (at !== -1) this.#idle.splice(at, 1);
    if (this.#waiting.size > this.#dialing && this.#mayDial()) void this.#dialOne();
    this.#settle();
  }

  /** Where every connection is taken, the calls that wait get those whose answers nobody reads, one for each, after a while. */
  #relieve(): void {
    if (this.#reliefTimer !== null || this.#mayDial()) return;
    const latest = performance.now() - this.#limits.heldMs;
    let wanted = this.#waiting.size - this.#dialing;
    for (const [link, since] of this.#held) {
      if (wanted <= 0) return;
      if (since > latest) {
        this.#reliefTimer = setTimeout(() => {
          this.#reliefTimer = null;
          this.#relieve();
        }, since - latest).unref();
        return;
      }
      wanted -= 1;
      link.giveUp();
    }
  }

  #mayDial(): boolean {
    const { dials, connections } = this.#limits;
    return this.#dialing < dials && this.#links.size + this.#dialing < connections;
  }

  async #dialOne(): Promise<void> {
    this.#dialing += 1;
    try {
      const { socket, onOutcome } = await this.#dial();
      this.#dialing -= 1;
      const link = new Link(socket, this, onOutcome);
      this.#links.add(link);
      if (socket.destroyed) this.onGone(link);
      else this.onFree(link);
    } catch (error) {
      this.#dialing -= 1;
      this.#take()?.onFailure(reasonOf(error));
    }
    if (this.#waiting.size > this.#dialing && this.#mayDial()) void this.#dialOne();
    this.#settle();
  }

  /** Who waits longest; whose caller leaves other answers lying comes last. */
  #take(): LinkedCall | null {
    let next: LinkedCall | null = null;
    for (const call of this.#waiting.keys()) {
      const isBehind = call.yields();
      if (!isBehind || next === null) next = call;
      if (!isBehind) break;
    }
    if (next === null) return null;
    clearTimeout(this.#waiting.get(next));
    this.#waiting.delete(next);
    return next;
  }

  #giveUp(call: LinkedCall, reason: RefusalReason): void {
    clearTimeout(this.#waiting.get(call));
    this.#waiting.delete(call);
    call.onFailure(reason);
    this.#settle();
  }

  #destroy(): void {
    for (const call of this.#waiting.keys()) this.#giveUp(call, 'timeout');
    for (const link of this.#links) link.destroy();
  }

  #settle(): void {
    if (this.#isRetiring && this.#waiting.size === 0 && this.#links.size === 0) this.#emptied.resolve();
  }
}

/** A handshake costs about a millisecond of a core on each side, so eight at a time keep the queue short without filling the machine. */
export const GATE_LIMITS: GateLimits = { dials: 8, connections: 256, waiting: 1_024, waitMs: 15_000, heldMs: 2_000 };
