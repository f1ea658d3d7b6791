import type { Socket } from 'node:net';
import type { AnswerHead } from '../../core/http1/answer-head.ts';
import { BodyReader } from '../../core/http1/body-reader.ts';
import type { Trailers } from '../../core/http1/chunk-reader.ts';
import { type BodyFraming, keepsConnection, type RequestHead, wantsWebSocket } from '../../core/http1/request-head.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { CallEnd, CallHop } from './call-gate.ts';
import { failureStatus } from './failure-status.ts';
import type { GatedPool } from './gated-pool.ts';
import type { Link, LinkedCall } from './http1-link.ts';
import { addedLines, answerOctets, type Content, contentOctets, requestOctets } from './http1-octets.ts';
import { isIdempotent, MAXIMUM_RETRIES } from '../tls/repeated-call.ts';
import { refusalOctets } from './refusal-octets.ts';
import { joinSockets } from './tcp-forward.ts';

/** The connection of whoever called, as its call under way sees it. */
export type Caller = {
  /** False when its reader is slow: `onCallerRoom` follows, or the connection ends. */
  write(octets: Buffer): boolean;
  /** Goes on reading the request. */
  resume(): void;
  /** The answer is written. */
  end(call: Http1Call, how: 'keep' | 'close' | 'linger'): void;
  /** What was said of the answer cannot be kept. */
  destroy(): void;
  /** Gives its socket away, with what was read of it and not used. */
  detach(): { readonly socket: Socket; readonly rest: Buffer | null };
};

/** One HTTP/1.1 call on its way to the next hop, and its answer on the way back: both stream, with back-pressure. */
export class Http1Call implements LinkedCall {
  readonly method: string;
  readonly wantsSwitch: boolean;
  readonly hop: CallHop;
  readonly #caller: Caller;
  readonly #head: RequestHead;
  readonly #framing: BodyFraming;
  readonly #body: BodyReader;
  /** False if the caller closes its connection after this call. */
  readonly keepsConnection: boolean;
  /** A small body is read whole first, so that head and body leave in one write and a slow caller holds no connection behind. */
  readonly #isHeld: boolean;
  #held: Buffer = NO_OCTETS;
  #heldLength = 0;
  /** Octets that its body may still have. */
  #bodyLeft: number;
  #fault: 400 | 413 = 400;
  #state: 'ahead' | 'waiting' | 'linked' | 'over' = 'ahead';
  #isTold = false;
  #pool: GatedPool | null = null;
  #link: Link | null = null;
  #answer: AnswerHead | null = null;
  #answerFraming: BodyFraming = NO_BODY;
  #closes = false;
  #hasWritten = false;
  #hasRoom = true;
  #triesLeft = MAXIMUM_RETRIES;

  constructor(caller: Caller, hop: CallHop, { head, framing }: { readonly head: RequestHead; readonly framing: BodyFraming }) {
    this.#caller = caller;
    this.hop = hop;
    this.#bodyLeft = hop.maximumBody;
    this.#head = head;
    this.#framing = framing;
    this.method = head.start.method;
    this.wantsSwitch = wantsWebSocket(head);
    this.keepsConnection = keepsConnection(head);
    this.#body = new BodyReader(framing);
    this.#isHeld = framing.kind === 'length' && framing.octets <= MAXIMUM_HELD_OCTETS;
  }

  /** One call at a time. */
  yields(): boolean {
    return false;
  }

  /** All answers before this one are written. */
  start(): void {
    const { expectation } = this.#head.fields;
    this.#state = 'waiting';
    if (this.#head.start.minor === 1 && expectation === 'other') return this.#refuse(417, true);
    if (this.#head.start.minor === 1 && expectation === 'continue' && !this.#body.isDone) this.#caller.write(CONTINUE);
    if (!this.#isHeld || this.#body.isDone) this.#send();
  }

  get isWhole(): boolean {
    return this.#body.isDone;
  }

  get canReceive(): boolean {
    if (this.wantsSwitch) return false;
    return this.#state === 'over' || this.#state === 'linked' || (this.#state === 'waiting' && this.#isHeld);
  }

  /** Reads of the request's body. Returns how far; -1 where it is refused. */
  receive(octets: Buffer, at: number): number {
    const body = this.#body;
    const next = body.read(octets, at);
    if (next === -1 || this.#state === 'over') return next;
    const { content, from, to } = body;
    if (this.#isHeld) {
      this.#hold(content.subarray(from, to));
      if (body.isDone) this.#send();
      return next;
    }
    this.#bodyLeft -= to - from;
    if (this.#bodyLeft < 0 && this.#isRefused()) return -1;
    if (to > from || body.isDone) this.#hasRoom = this.#pass({ octets: content, from, to });
    return next;
  }

  #isRefused(): boolean {
    if (this.hop.refusesBody()) this.#fault = 413;
    else this.#bodyLeft = Number.POSITIVE_INFINITY;
    return this.#fault === 413;
  }

  /** False while the next hop takes no more. */
  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  onLink(link: Link): void {
    this.#link = link;
    this.#state = 'linked';
    const { hop } = this;
    const octets = requestOctets(this.#head, {
      framing: this.#framing,
      added: addedLines(hop.addedHeaders),
      stripIdentity: hop.stripIdentity,
      switches: this.wantsSwitch,
      body: this.#held.subarray(0, this.#heldLength),
    });
    const isLast = this.#body.isDone;
    this.#hasRoom = link.write(octets, isLast);
    if (!isLast) this.#caller.resume();
  }

  onRoom(): void {
    this.#hasRoom = true;
    if (!this.#body.isDone) this.#caller.resume();
  }

  onAnswer(head: AnswerHead, framing: BodyFraming): void {
    const isOld = this.#head.start.minor === 0;
    // Who speaks HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
    this.#answerFraming = framing.kind === 'none' || framing.kind === 'length' ? framing : isOld ? UNTIL_CLOSE : CHUNKED;
    this.#answer = head;
    this.#closes = this.wantsSwitch || !this.keepsConnection || this.hop.isRetiring() || this.#answerFraming.kind === 'close';
  }

  onContent(content: Content, isLast: boolean, trailers: Trailers | null): void {
    const framing = this.#answerFraming;
    const answer = this.#answer;
    let hasRoom = true;
    if (answer !== null) {
      this.#answer = null;
      this.#hasWritten = true;
      // An answer that is whole before its request ends the connection.
      const closes = this.#closes || (isLast && !this.#body.isDone);
      hasRoom = this.#caller.write(answerOctets(answer, { framing, closes, content, isLast, trailers, rules: this.hop.answers }));
    } else if (content.to > content.from || isLast) {
      const octets = contentOctets(framing, content, isLast, trailers);
      if (octets.length > 0) hasRoom = this.#caller.write(octets);
    }
    if (isLast) this.#answered();
    else if (!hasRoom) this.#link?.pause();
  }

  onSwitched(head: AnswerHead, far: Socket, rest: Uint8Array): void {
    this.#tell({ kind: 'answered' });
    this.#state = 'over';
    const { socket: near, rest: sent } = this.#caller.detach();
    near.once('close', () => this.hop.onClose());
    near.write(
      answerOctets(head, {
        framing: NO_BODY,
        closes: false,
        content: EMPTY_CONTENT,
        isLast: true,
        trailers: null,
        rules: this.hop.answers,
      }),
    );
    if (rest.length > 0) near.write(rest);
    if (sent !== null) far.write(sent);
    joinSockets(near, far);
  }

  onFailure(reason: RefusalReason, isUnanswered = false): void {
    if (this.#state === 'over') return;
    if (isUnanswered && this.#mayRepeat()) {
      this.#state = 'waiting';
      this.#link = null;
      return this.#send();
    }
    this.#tell({ kind: 'failed', reason });
    if (this.#hasWritten) {
      // The answer is cut off: only a broken connection tells that it is not whole.
      this.#close();
      this.#caller.destroy();
      return;
    }
    this.#refuse(failureStatus(reason), this.hop.isRetiring(), this.hop.explainsFailures ? reason : null);
  }

  /** What has a body, or an effect of its own at each time, is never sent twice (RFC 9110 section 9.2.2). */
  #mayRepeat(): boolean {
    const isHarmless = this.#framing.kind === 'none' && isIdempotent(this.method) && !this.wantsSwitch;
    return isHarmless && this.#triesLeft-- > 0 && this.hop.upstream().mayRepeat('unanswered');
  }

  /** The reader of the answer has room again. */
  onCallerRoom(): void {
    this.#link?.resume();
  }

  /** What came as the request's body is none, or too long. What whoever called is told; null if it is too late for that. */
  breakOff(): 400 | 413 | null {
    this.#abandon({ kind: 'failed', reason: 'request-malformed' });
    return this.#hasWritten ? null : this.#fault;
  }

  /** Whoever called is gone. */
  leave(): void {
    this.#abandon(this.#hasWritten ? { kind: 'answered' } : { kind: 'left' });
  }

  #abandon(end: CallEnd): void {
    if (this.#state === 'over') return;
    this.#tell(end);
    if (this.#state === 'waiting') this.#pool?.cancel(this);
    this.#link?.abort();
    this.#close();
  }

  /** In a buffer of its own unless it came whole: pieces of an octet each would cost a hundred times that. */
  #hold(content: Uint8Array): void {
    if (this.#heldLength === 0 && this.#body.isDone) {
      this.#held = Buffer.from(content.buffer, content.byteOffset, content.length);
    } else {
      if (this.#heldLength === 0 && this.#framing.kind === 'length') this.#held = Buffer.allocUnsafeSlow(this.#framing.octets);
      this.#held.set(content, this.#heldLength);
    }
    this.#heldLength += content.length;
  }

  #send(): void {
    this.#pool = this.hop.upstream().carry(this);
  }

  #pass(content: Content): boolean {
    const isLast = this.#body.isDone;
    // Trailer fields of a request go no further, as nobody asked for them.
    const octets = contentOctets(this.#framing, content, isLast, null);
    return this.#link!.write(octets, isLast);
  }

  #answered(): void {
    this.#tell({ kind: 'answered' });
    const isWhole = this.#body.isDone;
    this.#close();
    // What is left of the request's body would be read as the next request.
    this.#caller.end(this, !isWhole ? 'linger' : this.#closes ? 'close' : 'keep');
  }

  /** An answer of the proxy itself, without a body. */
  #refuse(status: number, closes: boolean, failure: RefusalReason | null = null): void {
    const isWhole = this.#body.isDone;
    // What follows the offer of a WebSocket is not read as a call any more.
    const keeps = isWhole && !closes && this.keepsConnection && !this.wantsSwitch;
    this.#tell({ kind: 'failed', reason: 'request-malformed' });
    this.#close();
    this.#caller.write(refusalOctets(status, { challenge: null, closes: !keeps, failure, rules: this.hop.answers }));
    this.#caller.end(this, !isWhole ? 'linger' : keeps ? 'keep' : 'close');
  }

  #tell(end: CallEnd): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.hop.onEnd(end);
  }

  #close(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#link = null;
    this.hop.onClose();
  }
}

const NO_OCTETS = Buffer.alloc(0);
const EMPTY_CONTENT: Content = { octets: NO_OCTETS, from: 0, to: 0 };
const NO_BODY: BodyFraming = { kind: 'none' };
const CHUNKED: BodyFraming = { kind: 'chunked' };
const UNTIL_CLOSE: BodyFraming = { kind: 'close' };
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');
const MAXIMUM_HELD_OCTETS = 16_384;
