import type { Socket } from 'node:net';
import { type HeadReading, HeadReader } from '../../core/http1/head-reader.ts';
import { framingOfRequest, readRequestLine, type RequestStart } from '../../core/http1/request-head.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { CallDenial, CallGate } from './call-gate.ts';
import { endConnection } from './end-connection.ts';
import { type Caller, Http1Call } from './http1-call.ts';
import { canGoOn, Http1Request } from './http1-request.ts';
import { disownSocket, ownSocket, type SocketOwner } from './own-socket.ts';
import { refusalOctets } from './refusal-octets.ts';
import { KEEP_ALIVE_SECONDS } from './http1-octets.ts';

/** Serves HTTP/1.1 on a connection of which it is known who is at its other end. The socket ends with it. */
export function serveHttp1(socket: Socket, gate: CallGate): void {
  ownSocket(socket, new Http1Caller(socket, gate));
}

/** An answer that was decided before its turn came; `keeps`: the next call follows it. */
type EarlyRefusal = { readonly status: number; readonly challenge: string | null; readonly keeps: boolean };

/** The connection of one caller: reads its calls one by one, and answers them in their order. */
class Http1Caller implements Caller, SocketOwner {
  readonly #socket: Socket;
  readonly #gate: CallGate;
  readonly #reader = new HeadReader(readRequestLine);
  #current: Http1Call | null = null;
  /** What was read ahead of its turn (RFC 9112 section 9.3.2). */
  #ahead: (Http1Call | EarlyRefusal)[] = [];
  /** The call whose body is not read to its end. */
  #receiving: Http1Call | null = null;
  /** Read, but not used yet. */
  #rest: Buffer | null = null;
  /** `deaf`: what arrives is thrown away, because the last answer was decided. `closing`: it is written, too. */
  #state: 'open' | 'deaf' | 'closing' = 'open';
  #headTimer: NodeJS.Timeout | null;
  #idleTimer: NodeJS.Timeout | null = null;
  #stallTimer: NodeJS.Timeout | null = null;

  constructor(socket: Socket, gate: CallGate) {
    this.#socket = socket;
    this.#gate = gate;
    this.#headTimer = setTimeout(() => this.#giveUp(), gate.limits.headMs).unref();
  }

  onData(octets: Buffer): void {
    if (this.#rest !== null) {
      this.#rest = Buffer.concat([this.#rest, octets]);
      return;
    }
    this.#read(octets);
  }

  onEnd(): void {
    if (this.#state === 'closing' && !this.#socket.writableFinished) return;
    // Who has nothing more to say waits for no answer, as far as anybody can tell.
    if (this.#current === null) this.#socket.destroySoon();
    else this.#socket.destroy();
  }

  onClose(): void {
    this.#clearTimers();
    const calls = [this.#current, ...this.#ahead];
    this.#current = null;
    this.#ahead = [];
    for (const call of calls) if (call instanceof Http1Call) call.leave();
  }

  onDrain(): void {
    this.#noteProgress();
    this.#current?.onCallerRoom();
  }

  write(octets: Buffer): boolean {
    if (this.#socket.destroyed) return true;
    const hasRoom = this.#socket.write(octets);
    if (!hasRoom && this.#current !== null) this.#waitForOther(this.#current);
    return hasRoom;
  }

  resume(): void {
    const rest = this.#rest;
    this.#rest = null;
    if (rest !== null) this.#read(rest);
    if (this.#rest === null && (this.#receiving === null || this.#receiving.hasRoom)) this.#socket.resume();
  }

  end(call: Http1Call, how: 'keep' | 'close' | 'linger'): void {
    if (this.#current !== call || this.#state === 'closing') return;
    this.#current = null;
    if (how !== 'keep') return this.#close(how);
    this.#next();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  detach(): { readonly socket: Socket; readonly rest: Buffer | null } {
    const rest = this.#rest;
    this.#current = null;
    this.#rest = null;
    this.#clearTimers();
    disownSocket(this.#socket);
    return { socket: this.#socket, rest };
  }

  #read(octets: Buffer): void {
    let at = 0;
    while (at < octets.length) {
      if (this.#state !== 'open') return;
      const receiving = this.#receiving;
      if (receiving !== null && (receiving !== this.#current || !receiving.canReceive || !receiving.hasRoom)) return this.#put(octets, at);
      at = receiving === null ? this.#readHead(octets, at) : this.#readBody(receiving, octets, at);
      if (at === -1) return;
    }
    if (this.#receiving === null) return;
    this.#noteProgress();
    if (!this.#receiving.hasRoom) this.#socket.pause();
  }

  /** Keeps what cannot be used yet, and lets the kernel hold the rest. */
  #put(octets: Buffer, at: number): void {
    this.#rest = octets.subarray(at);
    this.#noteProgress();
    this.#socket.pause();
  }

  #readHead(octets: Buffer, at: number): number {
    const reading = this.#reader.read(octets, at);
    switch (reading.kind) {
      case 'incomplete':
        this.#headTimer ??= setTimeout(() => this.#giveUp(), this.#gate.limits.headMs).unref();
        return -1;
      case 'malformed':
        return this.#break('request-malformed', 400);
      case 'too-large':
        return this.#break('limit-exceeded', 431);
      default:
        this.#stopHeadTimer();
        return this.#begin(reading);
    }
  }

  #begin({ head, next }: Extract<HeadReading<RequestStart>, { kind: 'head' }>): number {
    const framing = framingOfRequest(head);
    if (framing.kind === 'malformed') return this.#break('request-malformed', 400);
    if (this.#ahead.length >= MAXIMUM_AHEAD) {
      // Without this bound the calls of one connection could fill the memory.
      this.#gate.onBroken('limit-exceeded');
      this.#socket.destroy();
      return -1;
    }
    const hop = this.#gate.admit(new Http1Request(head));
    if (hop.kind === 'denied') return this.#deny(hop, canGoOn(head, framing)) ? next : this.#refuse(hop.status, hop.challenge);
    const call = new Http1Call(this, hop, { head, framing });
    if (!call.isWhole) this.#receiving = call;
    if (this.#current !== null || this.#ahead.length > 0) this.#ahead.push(call);
    else this.#start(call);
    // What follows a WebSocket handshake is no request, or nothing at all.
    if (call.wantsSwitch) this.#receiving = call;
    else if (call.isWhole) this.#endWith(call);
    return next;
  }

  #readBody(call: Http1Call, octets: Buffer, at: number): number {
    const next = call.receive(octets, at);
    if (next === -1) {
      const status = call.breakOff();
      this.#current = null;
      if (status === null) this.#socket.destroy();
      else this.#writeRefusal(status, null);
      return -1;
    }
    if (call.isWhole && this.#receiving === call) {
      this.#receiving = null;
      if (this.#stallTimer !== null) this.#noteProgress();
      this.#endWith(call);
    }
    return next;
  }

  /** What follows the request that was to be the last is none (RFC 9112 section 9.6). */
  #endWith(call: Http1Call): void {
    if (!call.keepsConnection && this.#state === 'open') this.#state = 'deaf';
  }

  #start(call: Http1Call): void {
    (this.#current = call).start();
  }

  /** What comes after the answer that was just written. */
  #next(): void {
    let next = this.#ahead.shift();
    while (next !== undefined && !(next instanceof Http1Call) && next.keeps) {
      this.#answerItself(next.status, next.challenge, false);
      next = this.#ahead.shift();
    }
    if (next instanceof Http1Call) {
      if (next.hop.isRetiring()) return this.#drop(next);
      this.#start(next);
      if (!next.isWhole) this.#noteProgress();
    } else if (next !== undefined) return this.#writeRefusal(next.status, next.challenge);
    else this.#waitForCall();
    if (this.#rest !== null) this.resume();
  }

  /** It was allowed when it arrived, and is perhaps not now: its caller may send it again on a connection that is judged anew. */
  #drop(call: Http1Call): void {
    call.leave();
    this.#close('linger');
  }

  /** Denies a call and goes on with the connection, if that can be: false where a body follows, or whoever calls reads no answers. */
  #deny({ status, challenge, closes }: CallDenial, isWhole: boolean): boolean {
    if (closes || !isWhole || this.#gate.isSilent || this.#socket.writableNeedDrain) return false;
    if (this.#current !== null || this.#ahead.length > 0) this.#ahead.push({ status, challenge, keeps: true });
    else {
      this.#answerItself(status, challenge, false);
      this.#waitForCall();
    }
    return true;
  }

  /** What arrived is no request: its answer comes when its turn does, and is the last one. */
  #break(reason: RefusalReason, status: number): -1 {
    // No head follows, and the calls before this one have their own time.
    this.#stopHeadTimer();
    this.#gate.onBroken(reason);
    return this.#refuse(status, null);
  }

  #refuse(status: number, challenge: string | null): -1 {
    if (this.#current === null && this.#ahead.length === 0) this.#writeRefusal(status, challenge);
    else {
      this.#state = 'deaf';
      this.#ahead.push({ status, challenge, keeps: false });
    }
    return -1;
  }

  #answerItself(status: number, challenge: string | null, closes: boolean): void {
    this.#socket.write(refusalOctets(status, { closes, challenge, failure: null, rules: this.#gate.answers }));
  }

  #writeRefusal(status: number, challenge: string | null): void {
    if (this.#gate.isSilent) return void this.#socket.destroy();
    this.#answerItself(status, challenge, true);
    this.#close('linger');
  }

  /** A request that does not come to its end is answered with its own status; a connection that never began is, too. */
  #giveUp(): void {
    this.#headTimer = null;
    if (this.#current === null && this.#state === 'open') this.#break('timeout', 408);
    else this.#socket.destroy();
  }

  #close(how: 'close' | 'linger'): void {
    this.#state = 'closing';
    this.#rest = null;
    this.#receiving = null;
    for (const call of this.#ahead.splice(0)) if (call instanceof Http1Call) call.leave();
    endConnection(this.#socket, how);
  }

  #waitForCall(): void {
    if (this.#idleTimer !== null) this.#idleTimer.refresh();
    else this.#idleTimer = setTimeout(() => this.#current === null && this.#reader.isEmpty && this.#socket.destroy(), IDLE_MS).unref();
  }

  /** A body that stands still is given up: it holds a connection to the next hop. */
  #waitForOther(call: Http1Call): void {
    if (this.#stallTimer !== null) this.#stallTimer.refresh();
    else this.#stallTimer = setTimeout(() => this.#socket.destroy(), call.hop.stalledMs).unref();
  }

  /** Somebody acted. Whose turn it still is, of the sender of a body and the reader of answers, has its time anew. */
  #noteProgress(): void {
    const current = this.#current;
    const isAwaited = current !== null && ((this.#receiving === current && !current.isWhole) || this.#socket.writableNeedDrain);
    if (isAwaited) return this.#waitForOther(current);
    if (this.#stallTimer === null || this.#state === 'closing') return;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = null;
  }

  #stopHeadTimer(): void {
    if (this.#headTimer !== null) clearTimeout(this.#headTimer);
    this.#headTimer = null;
  }

  #clearTimers(): void {
    for (const timer of [this.#headTimer, this.#idleTimer, this.#stallTimer]) if (timer !== null) clearTimeout(timer);
  }
}

/** Five seconds more than what was announced. */
const IDLE_MS = (KEEP_ALIVE_SECONDS + 5) * 1_000;
/** Hardly a client pipelines at all, and those that do send a few calls ahead. */
const MAXIMUM_AHEAD = 32;
