import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { UpstreamFailure } from '../tls/upstream-failure.ts';
import type { PooledSocket } from './pooled-socket.ts';
import { CLIENT_SESSION, CONNECTION_WINDOW_OCTETS, MAXIMUM_STREAMS } from './http2-limits.ts';

/** One call that wants a stream. */
export type StreamWish = {
  /** Flat name-value pairs, pseudo fields first. */
  readonly headers: string[];
  /** True if neither body nor trailers follow. */
  readonly isWhole: boolean;
  readonly mayHaveTrailers: boolean;
  /** Called at most once; nothing of the call was sent before. */
  onStream(stream: ClientHttp2Stream, connection: StreamConnection): void;
  onFailure(error: UpstreamFailure): void;
};

/** What carries a stream. `isBroken` from the moment that its socket closed. */
export type StreamConnection = {
  readonly isBroken: boolean;
  /** What a call over it came to, where anybody wants to know. */
  readonly onOutcome: ((isGood: boolean) => void) | null;
};

export type StreamPoolLimits = {
  readonly connections: number;
  readonly streams: number;
  /** Calls that wait for a stream; one more is refused at once. */
  readonly waiting: number;
  readonly waitMs: number;
};

type Waiting = { readonly wish: StreamWish; readonly timer: NodeJS.Timeout };

/**
 * The HTTP/2 connections to one address. Calls share them up to a number of streams each; where all are full another one is made, and
 * where that is not allowed calls wait, first come first served, for a bounded time in a bounded queue.
 */
export class Http2Pool {
  readonly #dial: () => Promise<PooledSocket>;
  readonly #limits: StreamPoolLimits;
  readonly #connections = new Set<PooledConnection>();
  readonly #waiting = new Set<Waiting>();
  readonly #emptied = Promise.withResolvers<void>();
  #dialing = 0;
  #isRetiring = false;

  constructor(dial: () => Promise<PooledSocket>, limits: StreamPoolLimits = STREAM_POOL_LIMITS) {
    this.#dial = dial;
    this.#limits = limits;
  }

  /** Opens a stream for a call, or says why not. The function returned takes a call back that still waits. */
  open(wish: StreamWish): () => void {
    const free = this.#waiting.size === 0 ? this.#freest() : null;
    if (free !== null) {
      free.open(wish);
      return ignore;
    }
    if (this.#waiting.size >= this.#limits.waiting) {
      wish.onFailure(new UpstreamFailure('limit-exceeded', 'too many calls wait for a stream', { isTransient: true }));
      return ignore;
    }
    const waiting: Waiting = { wish, timer: setTimeout(() => this.#giveUp(waiting), this.#limits.waitMs).unref() };
    this.#waiting.add(waiting);
    this.#dialAsNeeded();
    return () => this.#leave(waiting);
  }

  /** Finishes the calls it was given, and cuts what is left after this time. Idle connections are closed at once. */
  async retire(withinMs: number): Promise<void> {
    this.#isRetiring = true;
    const timer = setTimeout(() => this.#destroy(), withinMs).unref();
    if (this.#waiting.size > 0) await this.#emptied.promise;
    await Promise.all([...this.#connections].map((connection) => connection.retire()));
    clearTimeout(timer);
  }

  #freest(): PooledConnection | null {
    let freest: PooledConnection | null = null;
    for (const connection of this.#connections) {
      if (connection.hasRoom() && (freest === null || connection.streams < freest.streams)) freest = connection;
    }
    return freest;
  }

  /** One handshake for as many calls as one connection will carry. */
  #dialAsNeeded(): void {
    const wanted = Math.ceil(this.#waiting.size / this.#limits.streams);
    while (this.#dialing < wanted && this.#connections.size + this.#dialing < this.#limits.connections) {
      this.#dialing += 1;
      this.#dial().then(
        (made) => this.#opened(made),
        (error: Error) => this.#failed(error),
      );
    }
  }

  #opened({ socket, onOutcome }: PooledSocket): void {
    this.#dialing -= 1;
    const connection = new PooledConnection(socket, this.#limits.streams, {
      onOutcome,
      onRoom: () => this.#admit(),
      onClose: () => {
        this.#connections.delete(connection);
        this.#dialAsNeeded();
      },
    });
    this.#connections.add(connection);
    this.#admit();
    this.#dialAsNeeded();
  }

  /** The dialer has tried all addresses for as long as it has patience, so nobody who waits would fare better. */
  #failed(error: Error): void {
    this.#dialing -= 1;
    if (this.#freest() !== null) return this.#admit();
    const failure =
      error instanceof UpstreamFailure
        ? error
        : new UpstreamFailure('upstream-broken', error.message, { isTransient: false, cause: error });
    for (const waiting of this.#waiting) {
      this.#leave(waiting);
      waiting.wish.onFailure(failure);
    }
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      const free = this.#freest();
      if (free === null) return;
      this.#leave(waiting);
      free.open(waiting.wish);
    }
  }

  #giveUp(waiting: Waiting): void {
    this.#leave(waiting);
    waiting.wish.onFailure(new UpstreamFailure('timeout', 'no stream was free in time', { isTransient: true }));
  }

  #leave(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    if (this.#isRetiring && this.#waiting.size === 0) this.#emptied.resolve();
  }

  #destroy(): void {
    for (const waiting of this.#waiting) this.#giveUp(waiting);
    for (const connection of this.#connections) connection.destroy();
  }
}

type PooledConnectionHandlers = Pick<StreamConnection, 'onOutcome'> & { readonly onRoom: () => void; readonly onClose: () => void };

/** One connection of the pool, from its handshake to its close. */
class PooledConnection implements StreamConnection {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #most: number;
  readonly #onRoom: () => void;
  readonly #closed: Promise<void>;
  readonly onOutcome: StreamConnection['onOutcome'];
  streams = 0;
  isBroken = false;

  constructor(socket: Socket, most: number, { onOutcome, onRoom, onClose }: PooledConnectionHandlers) {
    this.onOutcome = onOutcome;
    this.#socket = socket;
    this.#most = most;
    this.#onRoom = onRoom;
    socket.allowHalfOpen = false;
    // Before the session's own handler, which ends all streams.
    socket.prependOnceListener('close', () => (this.isBroken = true));
    // The name goes into no request: each carries its own authority.
    this.#session = connect('http://upstream.invalid', { ...CLIENT_SESSION, createConnection: () => socket });
    this.#session.on('error', ignore);
    this.#session.once('connect', () => this.#session.setLocalWindowSize(CONNECTION_WINDOW_OCTETS));
    this.#session.setTimeout(IDLE_MS, () => this.#wasSilent());
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    this.#session.once('close', () => {
      onClose();
      closed.resolve();
    });
  }

  hasRoom(): boolean {
    if (this.#session.closed || this.#session.destroyed || this.isBroken) return false;
    return this.streams < Math.min(this.#most, this.#session.remoteSettings?.maxConcurrentStreams ?? this.#most);
  }

  open(wish: StreamWish): void {
    const { headers, isWhole, mayHaveTrailers } = wish;
    const stream = this.#session.request(headers, { endStream: isWhole, waitForTrailers: !isWhole && mayHaveTrailers });
    this.streams += 1;
    stream.on('error', ignore);
    stream.once('close', () => {
      this.streams -= 1;
      this.#onRoom();
    });
    wish.onStream(stream, this);
  }

  /** RFC 9113 section 6.8: the streams under way end for themselves. */
  retire(): Promise<void> {
    this.#session.close();
    return this.#closed;
  }

  destroy(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  /** A peer that is gone without a word is found by a PING; more often than this, servers of gRPC take it for abuse. */
  #wasSilent(): void {
    if (this.streams === 0) return this.#session.close();
    const timer = setTimeout(() => this.destroy(), PING_MS).unref();
    this.#session.ping(() => clearTimeout(timer));
  }
}

function ignore(): void {}

export const STREAM_POOL_LIMITS: StreamPoolLimits = { connections: 16, streams: MAXIMUM_STREAMS, waiting: 1_024, waitMs: 15_000 };
const IDLE_MS = 310_000;
const PING_MS = 15_000;
