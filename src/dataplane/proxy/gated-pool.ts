import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { UpstreamFailure } from '../tls/upstream-failure.ts';

export type GateLimits = {
  /** Calls that may be on their way without a connection of their own yet: so many handshakes are made at a time, and no more. */
  readonly dials: number;
  readonly connections: number;
  /** Calls that wait for their turn; one more is refused at once. */
  readonly waiting: number;
  readonly waitMs: number;
};

type Waiting = {
  readonly options: Dispatcher.DispatchOptions;
  readonly handler: Dispatcher.DispatchHandler;
  readonly timer: NodeJS.Timeout;
};

/**
 * The connections to one address, and the calls that wait for one. Where every call that finds no connection free made its own, a
 * machine under load would spend itself on handshakes, which makes calls slower still; so calls wait for a free connection or their
 * turn to make one, first come first served, for a bounded time in a bounded queue.
 */
export class GatedPool {
  readonly #pool: Pool;
  readonly #limits: GateLimits;
  readonly #waiting = new Set<Waiting>();
  readonly #emptied = Promise.withResolvers<void>();
  readonly #dialQueue: (() => void)[] = [];
  #dialing = 0;
  #underWay = 0;
  #open = 0;
  #isRetiring = false;

  /** The name only tells pools apart; connections go where `dial` goes. */
  constructor(name: string, dial: () => Promise<Socket>, limits: GateLimits = GATE_LIMITS) {
    this.#limits = limits;
    this.#pool = new Pool(`http://${name}.invalid`, {
      ...POOL,
      connections: limits.connections,
      connect: (_options, callback) => {
        this.#dialInTurn(dial).then(
          (socket) => {
            this.#opened(socket);
            callback(null, socket);
          },
          (error: Error) => callback(error, null),
        );
      },
    });
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    if (this.#waiting.size === 0 && this.#hasRoom()) {
      this.#send(options, handler);
      return;
    }
    if (this.#waiting.size >= this.#limits.waiting) {
      handler.onResponseError?.(REFUSED_CONTROLLER, failure('limit-exceeded', 'too many calls wait for a connection'));
      return;
    }
    const waiting: Waiting = { options, handler, timer: setTimeout(() => this.#giveUp(waiting), this.#limits.waitMs).unref() };
    this.#waiting.add(waiting);
  }

  /** Finishes the calls it was given, and cuts what is left after this time. Idle connections are closed at once. */
  async retire(withinMs: number): Promise<void> {
    this.#isRetiring = true;
    const timer = setTimeout(() => this.#destroy(), withinMs).unref();
    if (this.#waiting.size > 0) await this.#emptied.promise;
    await this.#pool.close().catch(ignore);
    clearTimeout(timer);
  }

  #hasRoom(): boolean {
    const { connections, dials } = this.#limits;
    return this.#underWay < Math.min(connections, this.#open + dials);
  }

  #send(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#underWay += 1;
    this.#pool.dispatch(options, new GatedCall(handler, () => this.#ended()));
  }

  /** undici may pick a client without a connection where another has one; this bound holds whatever it picks. */
  async #dialInTurn(dial: () => Promise<Socket>): Promise<Socket> {
    while (this.#dialing >= this.#limits.dials) await new Promise<void>((resolve) => this.#dialQueue.push(resolve));
    this.#dialing += 1;
    try {
      return await dial();
    } finally {
      this.#dialing -= 1;
      this.#dialQueue.shift()?.();
    }
  }

  #opened(socket: Socket): void {
    this.#open += 1;
    socket.once('close', () => (this.#open -= 1));
    this.#admit();
  }

  #ended(): void {
    this.#underWay -= 1;
    // undici hands the connection back an immediate later; a call that is sent before would make one of its own.
    if (this.#waiting.size > 0) setImmediate(() => setImmediate(() => this.#admit()));
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom()) return;
      this.#leave(waiting);
      this.#send(waiting.options, waiting.handler);
    }
  }

  #giveUp(waiting: Waiting): void {
    this.#leave(waiting);
    waiting.handler.onResponseError?.(REFUSED_CONTROLLER, failure('timeout', 'no connection was free in time'));
  }

  #leave(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    if (this.#isRetiring && this.#waiting.size === 0) this.#emptied.resolve();
  }

  #destroy(): void {
    for (const waiting of this.#waiting) this.#giveUp(waiting);
    void this.#pool.destroy().catch(ignore);
  }
}

/** Tells the gate once when the call has no more use for its connection. */
class GatedCall implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  #onEnd: (() => void) | null;

  constructor(handler: Dispatcher.DispatchHandler, onEnd: () => void) {
    this.#handler = handler;
    this.#onEnd = onEnd;
  }

  onRequestStart(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onRequestStart']>>): void {
    this.#handler.onRequestStart?.(...args);
  }

  onRequestUpgrade(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onRequestUpgrade']>>): void {
    this.#end();
    this.#handler.onRequestUpgrade?.(...args);
  }

  onResponseStart(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>): void {
    this.#handler.onResponseStart?.(...args);
  }

  onResponseData(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseData']>>): void {
    this.#handler.onResponseData?.(...args);
  }

  onResponseEnd(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>): void {
    this.#handler.onResponseEnd?.(...args);
    this.#end();
  }

  onResponseError(...args: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseError']>>): void {
    this.#handler.onResponseError?.(...args);
    this.#end();
  }

  #end(): void {
    const onEnd = this.#onEnd;
    this.#onEnd = null;
    onEnd?.();
  }
}

function failure(reason: 'limit-exceeded' | 'timeout', detail: string): UpstreamFailure {
  return new UpstreamFailure(reason, detail, { isTransient: true });
}

function ignore(): void {}

/** Of a call that never had a connection there is nothing to pause or abort. */
const REFUSED_CONTROLLER = {
  aborted: true,
  paused: false,
  reason: null,
  rawHeaders: null,
  rawTrailers: null,
  abort: ignore,
  pause: ignore,
  resume: ignore,
} as unknown as Dispatcher.DispatchController;

/** A handshake costs about a millisecond of a core on each side, so eight at a time keep the queue short without filling the machine. */
export const GATE_LIMITS: GateLimits = { dials: 8, connections: 256, waiting: 1_024, waitMs: 15_000 };

/**
 * An idle connection is closed by this side well before the other side would: after four seconds, or one second before the end
 * that the other side announced (RFC 9112 section 9.3.1 gives no other remedy for a call that meets a close).
 */
const POOL = {
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
