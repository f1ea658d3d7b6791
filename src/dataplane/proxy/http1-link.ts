import type { Socket } from 'node:net';
import { type AnswerHead, framingOfAnswer, readStatusLine } from '../../core/http1/answer-head.ts';
import { BodyReader } from '../../core/http1/body-reader.ts';
import type { Trailers } from '../../core/http1/chunk-reader.ts';
import { HeadReader } from '../../core/http1/head-reader.ts';
import type { BodyFraming } from '../../core/http1/request-head.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';
import type { Content } from './http1-octets.ts';
import { disownSocket, ownSocket, type SocketOwner } from './own-socket.ts';

/** One call, as the connection that carries it sees it. It is told of each thing once, and of nothing after its end. */
export type LinkedCall = {
  readonly method: string;
  readonly wantsSwitch: boolean;
  /** True while its caller leaves answers to other calls lying: others go before it. */
  yields(): boolean;
  /** A connection is the call's until its answer is whole. */
  onLink(link: Link): void;
  /** There is room again for more of the request. */
  onRoom(): void;
  onAnswer(head: AnswerHead, framing: BodyFraming): void;
  /** Follows `onAnswer` at once, perhaps with nothing in it. */
  onContent(content: Content, isLast: boolean, trailers: Trailers | null): void;
  /** The other side became a WebSocket; the socket is the call's now, with what was read of it behind the head. */
  onSwitched(head: AnswerHead, socket: Socket, rest: Uint8Array): void;
  /** `isUnanswered`: the connection ended before an octet of the answer came, so that whoever may ask twice may ask again. */
  onFailure(reason: RefusalReason, isUnanswered?: boolean): void;
};

export type LinkOwner = {
  /** The answer is whole, and the connection can carry another call. */
  onFree(link: Link): void;
  /** The connection carries nothing more. */
  onGone(link: Link): void;
  /** Whoever called does not read the answer, and the link waits for that; or reads it again. */
  onHeld(link: Link): void;
  onReleased(link: Link): void;
};

/** One HTTP/1.1 connection to the next hop. It carries one call at a time. */
export class Link implements SocketOwner {
  readonly #socket: Socket;
  readonly #owner: LinkOwner;
  readonly #onOutcome: ((isGood: boolean) => void) | null;
  readonly #reader = new HeadReader(readStatusLine);
  #call: LinkedCall | null = null;
  #body: BodyReader | null = null;
  #isSent = false;
  #endsWithConnection = false;
  #keeps = true;
  #interim = 0;
  #idleMs = MAXIMUM_IDLE_MS;
  #idleTimer: NodeJS.Timeout | null = null;
  #answerTimer: NodeJS.Timeout | null = null;

  constructor(socket: Socket, owner: LinkOwner, onOutcome: ((isGood: boolean) => void) | null = null) {
    this.#socket = socket;
    this.#owner = owner;
    this.#onOutcome = onOutcome;
    ownSocket(socket, this);
  }

  /** False from the moment on that this side knows of its end. */
  get isUsable(): boolean {
    return this.#socket.writable;
  }

  begin(call: LinkedCall): void {
    this.#call = call;
    this.#isSent = false;
    this.#interim = 0;
    this.#waitForAnswer();
    call.onLink(this);
  }

  /** False when the caller had better wait for `onRoom`. */
  write(octets: Buffer, isLast: boolean): boolean {
    if (isLast) this.#isSent = true;
    else this.#waitForAnswer();
    return this.#socket.write(octets);
  }

  pause(): void {
    this.#socket.pause();
    this.#owner.onHeld(this);
  }

  resume(): void {
    this.#socket.resume();
    this.#owner.onReleased(this);
  }

  /** Others have waited long enough for the one who does not read. */
  giveUp(): void {
    this.#cut('timeout');
  }

  /** Ends the connection, and the call on it is told nothing. */
  abort(): void {
    this.#call = null;
    this.#socket.destroy();
  }

  /** Ends the connection, and the call on it fails. */
  destroy(): void {
    this.#cut('upstream-broken');
  }

  onData(octets: Buffer): void {
    let at = 0;
    while (this.#call !== null) {
      if (this.#body === null) at = this.#readHead(this.#call, octets, at);
      else return this.#readBody(this.#call, this.#body, octets, at);
      if (at === -1) return;
    }
    // Nobody asked for anything: what comes then would be read as the answer to the next call.
    this.#socket.destroy();
  }

  /** A head is read at once and what comes with it is copied; what a slow caller may keep waiting is not left in a buffer of others. */
  onSharedData(octets: Buffer): void {
    this.onData(this.#body === null ? octets : Buffer.from(octets));
  }

  onEnd(): void {
    const body = this.#body;
    if (this.#call !== null && body !== null && this.#endsWithConnection) {
      this.#keeps = false;
      this.#finish(this.#call, { octets: EMPTY, from: 0, to: 0 });
    }
    this.#die();
  }

  onClose(): void {
    this.#clearTimers();
    this.#die();
    this.#owner.onGone(this);
  }

  onDrain(): void {
    this.#call?.onRoom();
  }

  /** Returns where the body begins; -1 when there is nothing more to read for now. */
  #readHead(call: LinkedCall, octets: Buffer, at: number): number {
    const reading = this.#reader.read(octets, at);
    if (reading.kind === 'incomplete') return -1;
    if (reading.kind !== 'head') return this.#fail(reading.kind === 'too-large' ? 'limit-exceeded' : 'upstream-broken');
    const { head, next } = reading;
    const { status } = head.start;
    const framing = framingOfAnswer(head, call.method);
    if (framing.kind === 'malformed') return this.#fail('upstream-broken');
    if (status === 101) return this.#switch(call, head, Buffer.from(octets.subarray(next)));
    if (status < 200) {
      // Interim answers are of the hop that asked for them.
      this.#interim += 1;
      return this.#interim > MAXIMUM_INTERIM ? this.#fail('upstream-broken') : next === octets.length ? -1 : next;
    }
    this.#noteKeeping(head, framing);
    this.#onOutcome?.(status < SERVER_ERROR);
    this.#body = new BodyReader(framing);
    call.onAnswer(head, framing);
    return next;
  }

  #readBody(call: LinkedCall, body: BodyReader, octets: Buffer, at: number): void {
    const next = body.read(octets, at);
    if (next === -1) return void this.#fail('upstream-broken');
    const content = { octets: body.content, from: body.from, to: body.to };
    if (!body.isDone) return call.onContent(content, false, null);
    // Octets behind the answer belong to no call.
    if (next !== octets.length) this.#keeps = false;
    this.#finish(call, content);
  }

  #finish(call: LinkedCall, content: Content): void {
    const { trailers } = this.#body!;
    this.#call = null;
    this.#body = null;
    call.onContent(content, true, trailers);
    if (!this.#keeps || !this.#isSent || !this.isUsable) {
      this.#socket.destroy();
      return;
    }
    this.#waitForCall();
    this.#owner.onFree(this);
  }

  #switch(call: LinkedCall, head: AnswerHead, rest: Uint8Array): -1 {
    if (!call.wantsSwitch) return this.#fail('upstream-broken');
    this.#call = null;
    disownSocket(this.#socket);
    this.#clearTimers();
    // It belongs to the two ends from now on, however long they talk.
    this.#owner.onGone(this);
    call.onSwitched(head, this.#socket, rest);
    return -1;
  }

  #noteKeeping({ start, fields }: AnswerHead, framing: BodyFraming): void {
    this.#endsWithConnection = framing.kind === 'close';
    if (fields.closes || start.minor === 0 || framing.kind === 'close') this.#keeps = false;
    // This side closes first: a call that meets the other side's close has no remedy (RFC 9112 section 9.3.1).
    const idleMs = fields.idleSeconds === -1 ? MAXIMUM_IDLE_MS : Math.min(MAXIMUM_IDLE_MS, fields.idleSeconds * 1_000 - IDLE_LEAD_MS);
    if (idleMs <= 0) this.#keeps = false;
    if (idleMs === this.#idleMs) return;
    this.#idleMs = idleMs;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
  }

  /** One timer for all calls: it looks whether there is one when it fires. */
  #waitForAnswer(): void {
    if (this.#answerTimer !== null) this.#answerTimer.refresh();
    else this.#answerTimer = setTimeout(() => this.#call !== null && this.#body === null && this.#fail('timeout'), ANSWER_MS).unref();
  }

  #waitForCall(): void {
    if (this.#idleTimer !== null) this.#idleTimer.refresh();
    else this.#idleTimer = setTimeout(() => this.#call === null && this.#socket.destroy(), this.#idleMs).unref();
  }

  #clearTimers(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    if (this.#answerTimer !== null) clearTimeout(this.#answerTimer);
  }

  /** The connection ended by itself. */
  #die(): void {
    this.#fail('upstream-broken', this.#body === null && this.#interim === 0 && this.#reader.isEmpty);
  }

  #fail(reason: RefusalReason, isUnanswered = false): -1 {
    if (this.#call !== null) this.#onOutcome?.(false);
    return this.#cut(reason, isUnanswered);
  }

  /** Says nothing of the other side. */
  #cut(reason: RefusalReason, isUnanswered = false): -1 {
    const call = this.#call;
    this.#call = null;
    this.#socket.destroy();
    call?.onFailure(reason, isUnanswered);
    return -1;
  }
}

/** As the failure of a call that never had a connection. */
export function reasonOf(error: unknown): RefusalReason {
  return error instanceof UpstreamFailure ? error.reason : 'upstream-broken';
}

const SERVER_ERROR = 500;
const EMPTY: Uint8Array = new Uint8Array();
/** A service may take long to think; the caller's own patience ends it before. */
const ANSWER_MS = 300_000;
/** An idle connection is closed well before the other side would close it. */
const MAXIMUM_IDLE_MS = 4_000;
const IDLE_LEAD_MS = 1_000;
/** More than any service sends before an answer. */
const MAXIMUM_INTERIM = 32;
