import { type ClientHttp2Stream, constants, type ServerHttp2Stream } from 'node:http2';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';
import type { CallEnd, CallHop } from './call-gate.ts';
import { failureStatus } from './failure-status.ts';
import { answerHttp2, dropBody } from './http2-answer.ts';
import { forwardHttp2Answer, forwardHttp2Request, sensitiveOf, statusOf, trailersOf } from './http2-headers.ts';
import type { StreamConnection, StreamWish } from './http2-pool.ts';
import { MAXIMUM_RETRIES } from '../tls/repeated-call.ts';
import { resetStream } from './http2-reset.ts';
import type { Http2Request } from './http2-session.ts';

/** Carries one call from HTTP/2 to HTTP/2 and its answer back: bodies with back-pressure, trailers, and resets with their codes. */
export function forwardHttp2(request: Http2Request, hop: CallHop): void {
  const { stream, raw, sensitive, isWhole } = request;
  const forwarded = forwardHttp2Request(raw, sensitive, hop.stripIdentity);
  if (forwarded.kind === 'malformed') {
    stream.resume();
    hop.onEnd({ kind: 'failed', reason: 'request-malformed' });
    const reason = hop.explainsFailures ? 'request-malformed' : null;
    answerHttp2(stream, { status: 400, isGrpc: false, reason, rules: hop.answers });
    return;
  }
  const { headers, isGrpc } = forwarded;
  for (let at = 0; at < hop.addedHeaders.length; at += 2) headers.push(hop.addedHeaders[at]!.toLowerCase(), hop.addedHeaders[at + 1]!);
  new Http2Call(stream, hop, { headers, isWhole, isGrpc }).send();
}

type AnswerHead = { readonly raw: readonly string[]; readonly sensitive: readonly string[]; readonly isWhole: boolean };
type Http2CallFacts = Pick<StreamWish, 'headers' | 'isWhole'> & { readonly isGrpc: boolean };

/** One call on its way. */
class Http2Call implements StreamWish {
  readonly headers: string[];
  readonly isWhole: boolean;
  /** gRPC has trailers in answers only; waiting for them costs a frame. */
  readonly mayHaveTrailers: boolean;
  readonly #isGrpc: boolean;
  readonly #near: ServerHttp2Stream;
  readonly #hop: CallHop;
  #far: ClientHttp2Stream | null = null;
  #takeBack: () => void = ignore;
  #patience: NodeJS.Timeout | null = null;
  /** What was sent of the body, as long as all of it is here: a call that the next hop refused unseen can be sent again. */
  #held: Buffer[] | null = [];
  #heldOctets = 0;
  #requestTrailers: Record<string, string | string[]> = {};
  #answerTrailers: Record<string, string | string[]> = {};
  #triesLeft = MAXIMUM_RETRIES;
  #isRequestOver: boolean;
  #hasAnswer = false;
  #onOutcome: StreamConnection['onOutcome'] = null;
  #isGood = true;
  #ended = false;

  constructor(near: ServerHttp2Stream, hop: CallHop, { headers, isWhole, isGrpc }: Http2CallFacts) {
    this.headers = headers;
    this.isWhole = isWhole;
    this.mayHaveTrailers = !isGrpc;
    this.#isGrpc = isGrpc;
    this.#near = near;
    this.#hop = hop;
    this.#isRequestOver = isWhole;
    near.once('close', () => this.#nearClosed());
    if (isWhole) return;
    near.on('trailers', (_trailers, _flags, raw: readonly string[]) => (this.#requestTrailers = trailersOf(raw, hop.stripIdentity)));
    near.on('data', (chunk: Buffer) => this.#sendBody(chunk));
    near.on('end', () => {
      // A reset without a code ends the body, too.
      if (near.closed) return;
      this.#isRequestOver = true;
      this.#far?.end();
    });
    near.pause();
  }

  send(): void {
    if (!this.#near.destroyed) this.#takeBack = this.#hop.upstream().openStream(this);
  }

  onStream(far: ClientHttp2Stream, connection: StreamConnection): void {
    this.#far = far;
    this.#onOutcome = connection.onOutcome;
    far.once('response', (headers, flags, raw: readonly string[]) =>
      this.#answer(far, { raw, sensitive: sensitiveOf(headers), isWhole: (flags & END_STREAM) !== 0 }),
    );
    far.on('data', (chunk: Buffer) => this.#sendAnswer(far, chunk));
    far.on('trailers', (_trailers, _flags, raw: readonly string[]) => (this.#answerTrailers = trailersOf(raw, false)));
    far.once('end', () => this.#answerEnded(far));
    far.once('close', () => this.#farClosed(far, connection));
    if (this.isWhole) return;
    far.on('drain', () => this.#near.resume());
    far.on('wantTrailers', () => void (far.closed || far.sendTrailers(this.#requestTrailers)));
    for (const chunk of this.#held!) far.write(chunk);
    if (this.#isRequestOver) far.end();
    else this.#near.resume();
  }

  onFailure(error: UpstreamFailure): void {
    this.#fail(error.reason);
  }

  #sendBody(chunk: Buffer): void {
    const far = this.#far;
    if (this.#held !== null) {
      this.#heldOctets += chunk.length;
      if (this.#hasAnswer || this.#heldOctets > MAXIMUM_HELD_OCTETS) this.#held = null;
      else this.#held.push(chunk);
    }
    // What a service that has answered already does not read any more is of no use to anybody.
    if (far === null || !far.writable) return;
    if (!far.write(chunk)) this.#near.pause();
  }

  #answer(far: ClientHttp2Stream, { raw, sensitive, isWhole }: AnswerHead): void {
    const near = this.#near;
    if (near.closed || near.destroyed) return;
    if (statusOf(raw) === 0) {
      far.close(constants.NGHTTP2_PROTOCOL_ERROR);
      return this.#fail('upstream-broken');
    }
    this.#hasAnswer = true;
    this.#held = null;
    if (this.#onOutcome !== null) this.#isGood = statusOf(raw) < 500 && !isServerFault(raw);
    near.on('drain', () => {
      this.#stopWaiting();
      far.resume();
    });
    near.on('wantTrailers', () => void (near.closed || near.sendTrailers(this.#answerTrailers)));
    near.respond(forwardHttp2Answer(raw, sensitive, this.#hop.answers), {
      endStream: isWhole,
      waitForTrailers: !isWhole,
      sendDate: false,
    } as object);
  }

  #sendAnswer(far: ClientHttp2Stream, chunk: Buffer): void {
    const near = this.#near;
    if (!near.writable || near.write(chunk)) return;
    far.pause();
    this.#patience ??= setTimeout(() => resetStream(near, constants.NGHTTP2_CANCEL), this.#hop.stalledMs).unref();
  }

  #answerEnded(far: ClientHttp2Stream): void {
    // A stream that was reset ends, too.
    if (!this.#hasAnswer || far.rstCode !== constants.NGHTTP2_NO_ERROR) return;
    this.#onOutcome?.(this.#isGood && !serverFaults.has(String(this.#answerTrailers['grpc-status'])));
    this.#end({ kind: 'answered' });
    this.#near.end();
    if (!this.#isRequestOver) dropBody(this.#near);
  }

  #farClosed(far: ClientHttp2Stream, connection: StreamConnection): void {
    if (this.#ended || this.#far !== far) return;
    const code = far.rstCode ?? constants.NGHTTP2_NO_ERROR;
    if (code !== constants.NGHTTP2_REFUSED_STREAM) this.#onOutcome?.(false);
    if (connection.isBroken || code === constants.NGHTTP2_NO_ERROR) return this.#fail('upstream-broken');
    // The only reset that says that nothing was done (RFC 9113 section 8.7).
    if (code === constants.NGHTTP2_REFUSED_STREAM && !this.#hasAnswer && this.#held !== null && this.#mayRepeat()) {
      this.#far = null;
      this.#near.pause();
      this.send();
      return;
    }
    this.#end({ kind: 'failed', reason: 'upstream-broken' });
    if (this.#near.headersSent) resetStream(this.#near, code);
    else this.#near.close(code);
  }

  #mayRepeat(): boolean {
    if (this.#triesLeft === 0) return false;
    this.#triesLeft -= 1;
    return this.#hop.upstream().mayRepeat('unseen');
  }

  #stopWaiting(): void {
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#patience = null;
  }

  #fail(reason: RefusalReason): void {
    if (this.#ended) return;
    this.#end({ kind: 'failed', reason });
    const near = this.#near;
    if (near.headersSent) {
      // The answer is cut off: only a reset tells that it is not whole.
      resetStream(near, constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    if (!this.#isRequestOver) dropBody(this.#near);
    const status = failureStatus(reason);
    answerHttp2(near, { status, isGrpc: this.#isGrpc, reason: this.#hop.explainsFailures ? reason : null, rules: this.#hop.answers });
  }

  #nearClosed(): void {
    this.#stopWaiting();
    this.#takeBack();
    const far = this.#far;
    const code = this.#near.rstCode;
    this.#end(this.#hasAnswer ? { kind: 'answered' } : { kind: 'left' });
    // A caller that cancels, or is gone, ends the call at the service; what it finished runs on.
    if (far === null || far.closed) return;
    if (this.#isRequestOver) far.close(code === constants.NGHTTP2_NO_ERROR ? constants.NGHTTP2_CANCEL : code);
    else resetStream(far, constants.NGHTTP2_CANCEL);
  }

  #end(end: CallEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#held = null;
    this.#hop.onEnd(end);
  }
}

/** An answer of a head alone. */
function isServerFault(raw: readonly string[]): boolean {
  return raw.some((name, at) => at % 2 === 0 && name === 'grpc-status' && serverFaults.has(raw[at + 1]!));
}

function ignore(): void {}

const END_STREAM = 0x1;
/** Most calls of gRPC are smaller; each call under way may hold so much until its answer begins. */
const MAXIMUM_HELD_OCTETS = 65_536;
/** UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS: what HTTP says by 500 and 503. */
const serverFaults: ReadonlySet<string> = new Set(['2', '13', '14', '15']);
