import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { AnswerHead } from '../../core/http1/answer-head.ts';
import type { Trailers } from '../../core/http1/chunk-reader.ts';
import type { BodyFraming, RequestHead } from '../../core/http1/request-head.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { BodyTurns } from './body-turns.ts';
import type { CallEnd, CallHop } from './call-gate.ts';
import { failureStatus } from './failure-status.ts';
import type { GatedPool } from './gated-pool.ts';
import { fieldOf, translateAnswer, translateRequest, translateTrailers } from './http1-head.ts';
import type { Link, LinkedCall } from './http1-link.ts';
import { type Content, contentOctets, fieldLines, requestOctets } from './http1-octets.ts';
import { answerHttp2, dropBody, fieldsOf } from './http2-answer.ts';
import { isIdempotent, MAXIMUM_RETRIES } from '../tls/repeated-call.ts';
import { resetStream } from './http2-reset.ts';
import type { Http2Request } from './http2-session.ts';

/** Carries one call from a caller of HTTP/2 to a service of HTTP/1.1, WebSockets by extended CONNECT (RFC 8441) included. */
export function forwardHttp2ToHttp1({ stream, raw, isWhole }: Http2Request, hop: CallHop, turns: BodyTurns): void {
  const translated = translateRequest(raw, isWhole);
  if (translated.kind === 'malformed') {
    hop.onEnd({ kind: 'failed', reason: 'request-malformed' });
    answerHttp2(stream, { status: 400, isGrpc: false, reason: null, rules: hop.answers });
    if (!isWhole) dropBody(stream);
    return;
  }
  new TranslatedCall(stream, hop, { ...translated, isWhole, turns }).send();
}

type TranslatedFacts = {
  readonly head: RequestHead;
  readonly framing: BodyFraming;
  /** What the service must say to become a WebSocket; null for an ordinary call. */
  readonly accept: string | null;
  readonly isWhole: boolean;
  readonly turns: BodyTurns;
};

/** One call on its way: HTTP/2 on the near side, HTTP/1.1 on the far one. */
class TranslatedCall implements LinkedCall {
  readonly method: string;
  readonly wantsSwitch: boolean;
  readonly #near: ServerHttp2Stream;
  readonly #hop: CallHop;
  readonly #facts: TranslatedFacts;
  #pool: GatedPool | null = null;
  #link: Link | null = null;
  #answer: AnswerHead | null = null;
  #trailers: Record<string, string> = {};
  #patience: NodeJS.Timeout | null = null;
  /** A small body is read whole first, so that head and body leave in one write and a slow caller holds no connection behind. */
  #held: Buffer[] | null = null;
  #stallTimer: NodeJS.Timeout | null = null;
  #leaveTurn: () => void = ignore;
  #isRequestOver: boolean;
  #hasAnswer = false;
  #isOver = false;
  #triesLeft = MAXIMUM_RETRIES;
  /** Octets that its body may still have. */
  #bodyLeft: number;

  constructor(near: ServerHttp2Stream, hop: CallHop, facts: TranslatedFacts) {
    this.method = facts.head.start.method;
    this.wantsSwitch = facts.accept !== null;
    this.#near = near;
    this.#hop = hop;
    this.#bodyLeft = hop.maximumBody;
    this.#facts = facts;
    this.#isRequestOver = facts.isWhole || this.wantsSwitch;
    near.once('close', () => this.#nearClosed());
    near.on('drain', () => {
      this.#stopWaiting();
      this.#link?.resume();
    });
    near.on('wantTrailers', () => void (near.closed || near.sendTrailers(this.#trailers)));
    near.pause();
  }

  yields(): boolean {
    return this.#facts.turns.unread > 0;
  }

  send(): void {
    if (this.#near.closed || this.#near.destroyed) return;
    const { expectation } = this.#facts.head.fields;
    if (expectation === 'other') return this.#refuse(417);
    if (expectation === 'continue' && !this.#isRequestOver) this.#near.additionalHeaders({ ':status': 100 });
    if (!this.#isRequestOver) this.#readBody();
    if (this.#held !== null) return;
    if (this.#isRequestOver) return this.#carry();
    this.#leaveTurn = this.#facts.turns.take(() => this.#carry());
    if (this.#isOver) this.#leaveTurn();
  }

  #carry(): void {
    this.#pool = this.#hop.upstream().carry(this);
  }

  onLink(link: Link): void {
    this.#link = link;
    const { head, framing } = this.#facts;
    const { addedHeaders, stripIdentity } = this.#hop;
    const added = fieldLines(addedHeaders);
    const body = this.#held === null ? NO_OCTETS : Buffer.concat(this.#held);
    const octets = requestOctets(head, { framing, added, stripIdentity, switches: this.wantsSwitch, body });
    const hasRoom = link.write(octets, this.#isRequestOver);
    if (!this.#isRequestOver && hasRoom) this.#near.resume();
  }

  onRoom(): void {
    this.#near.resume();
  }

  onAnswer(head: AnswerHead): void {
    this.#answer = head;
    if (head.start.status <= MAXIMUM_STATUS) return;
    this.#link?.abort();
    this.onFailure('upstream-broken');
  }

  onContent({ octets, from, to }: Content, isLast: boolean, trailers: Trailers | null): void {
    const near = this.#near;
    const head = this.#answer;
    const isEmpty = to === from;
    this.#answer = null;
    if (this.#isOver) return;
    if (isLast) this.#over({ kind: 'answered' });
    if (near.closed || near.destroyed) return;
    const isAlone = head !== null && isLast && isEmpty && trailers === null;
    if (head !== null) {
      this.#hasAnswer = true;
      const waitForTrailers = !isAlone && head.fields.isChunked;
      near.respond(translateAnswer(head, this.#hop.answers), { endStream: isAlone, waitForTrailers, sendDate: false } as object);
    }
    if (trailers !== null) this.#trailers = translateTrailers(trailers);
    // The octets are those of a buffer that is read into again.
    if (!isEmpty && near.writable && !near.write(Buffer.from(octets.subarray(from, to))) && !isLast) this.#waitForReader();
    if (!isLast) return;
    if (!isAlone) near.end();
    if (!this.#isRequestOver) dropBody(near);
  }

  onSwitched(head: AnswerHead, far: Socket, rest: Uint8Array): void {
    const near = this.#near;
    if (near.closed || near.destroyed || fieldOf(head, 'sec-websocket-accept') !== this.#facts.accept) {
      far.destroy();
      this.onFailure('upstream-broken');
      return;
    }
    this.#hasAnswer = true;
    this.#over({ kind: 'answered' });
    const fields = translateAnswer(head, this.#hop.answers, 200).filter((_text, at, all) => all[at - (at % 2)] !== 'sec-websocket-accept');
    near.respond(fields, { sendDate: false } as object);
    if (rest.length > 0) near.write(rest);
    joinTunnel(near, far);
  }

  onFailure(reason: RefusalReason, isUnanswered = false): void {
    if (this.#isOver) return;
    if (isUnanswered && this.#mayRepeat()) {
      this.#link = null;
      return this.#carry();
    }
    this.#over({ kind: 'failed', reason });
    const near = this.#near;
    if (near.headersSent) return resetStream(near, constants.NGHTTP2_INTERNAL_ERROR);
    if (!this.#isRequestOver) dropBody(near);
    const status = failureStatus(reason);
    answerHttp2(near, { status, isGrpc: false, reason: this.#hop.explainsFailures ? reason : null, rules: this.#hop.answers });
  }

  #mayRepeat(): boolean {
    if (!this.#facts.isWhole || !isIdempotent(this.method) || this.wantsSwitch || this.#triesLeft === 0) return false;
    this.#triesLeft -= 1;
    return this.#hop.upstream().mayRepeat('unanswered');
  }

  #readBody(): void {
    const { framing } = this.#facts;
    const near = this.#near;
    this.#stallTimer = setTimeout(() => this.#giveUp(), this.#hop.stalledMs).unref();
    near.on('data', (chunk: Buffer) => {
      this.#stallTimer?.refresh();
      if (this.#held === null) this.#sendBody(chunk);
      else this.#held.push(chunk);
    });
    near.once('end', () => this.#endBody());
    near.pause();
    if (framing.kind !== 'length' || framing.octets > MAXIMUM_HELD_OCTETS) return;
    this.#held = [];
    near.resume();
  }

  /** A body that stands still holds a connection to the service. */
  #giveUp(): void {
    this.#link?.abort();
    this.#pool?.cancel(this);
    this.#over({ kind: 'failed', reason: 'timeout' });
    resetStream(this.#near, constants.NGHTTP2_CANCEL);
  }

  #sendBody(chunk: Buffer): void {
    if (this.#isOver || this.#link === null) return;
    this.#bodyLeft -= chunk.length;
    if (this.#bodyLeft < 0) {
      if (this.#hop.refusesBody()) return this.#refuseBody(this.#link);
      this.#bodyLeft = Number.POSITIVE_INFINITY;
    }
    const octets = contentOctets(this.#facts.framing, { octets: chunk, from: 0, to: chunk.length }, false, null);
    if (!this.#link.write(octets, false)) this.#near.pause();
  }

  /** The service sees half a body, which is none. */
  #refuseBody(link: Link): void {
    const near = this.#near;
    link.abort();
    this.#over({ kind: 'failed', reason: 'body-too-large' });
    if (near.headersSent) return resetStream(near, constants.NGHTTP2_INTERNAL_ERROR);
    answerHttp2(near, { status: 413, isGrpc: false, reason: null, rules: this.#hop.answers });
    dropBody(near);
  }

  #endBody(): void {
    // A reset without a code ends the body, too, and only a whole one may end the request.
    if (this.#near.closed) return;
    this.#isRequestOver = true;
    this.#stopStallTimer();
    this.#leaveTurn();
    if (this.#isOver) return;
    if (this.#held !== null) return this.#carry();
    if (this.#link === null) return;
    this.#link.write(contentOctets(this.#facts.framing, NO_CONTENT, true, null), true);
  }

  #waitForReader(): void {
    this.#link?.pause();
    if (this.#patience === null) this.#facts.turns.unread += 1;
    this.#patience ??= setTimeout(() => resetStream(this.#near, constants.NGHTTP2_CANCEL), this.#hop.stalledMs).unref();
  }

  #stopStallTimer(): void {
    if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
    this.#stallTimer = null;
  }

  #stopWaiting(): void {
    if (this.#patience === null) return;
    clearTimeout(this.#patience);
    this.#patience = null;
    this.#facts.turns.unread -= 1;
  }

  #refuse(status: 417): void {
    this.#over({ kind: 'failed', reason: 'request-malformed' });
    this.#near.respond({ ':status': status, ...fieldsOf(this.#hop.answers) }, { endStream: true });
    if (!this.#isRequestOver) dropBody(this.#near);
  }

  #nearClosed(): void {
    this.#stopWaiting();
    if (this.#isOver) return;
    this.#pool?.cancel(this);
    this.#link?.abort();
    this.#over(this.#hasAnswer ? { kind: 'answered' } : { kind: 'left' });
  }

  #over(end: CallEnd): void {
    this.#stopStallTimer();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#link = null;
    this.#leaveTurn();
    this.#hop.onEnd(end);
  }
}

/** RFC 8441 section 5: an end is an end in each direction by itself, and what breaks is a reset. */
function joinTunnel(near: ServerHttp2Stream, far: Socket): void {
  near.pipe(far);
  far.pipe(near);
  far.on('error', () => resetStream(near, constants.NGHTTP2_CANCEL));
  far.on('close', () => {
    if (!far.readableEnded) resetStream(near, constants.NGHTTP2_CANCEL);
  });
  near.on('close', () => far.destroy());
}

function ignore(): void {}

/** RFC 9110 section 15; there is none beyond, and node:http2 sends none. */
const MAXIMUM_STATUS = 599;
const MAXIMUM_HELD_OCTETS = 16_384;
const NO_OCTETS = Buffer.alloc(0);
const NO_CONTENT: Content = { octets: NO_OCTETS, from: 0, to: 0 };
