import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { forwardRequestHeaders, forwardResponseHeaders } from './http-headers.ts';
import type { CallEnd, CallHop } from './call-gate.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';

/** Carries one HTTP/1.1 call to the next hop and its answer back, streaming both, with back-pressure. */
export function forwardHttp(request: IncomingMessage, response: ServerResponse, hop: CallHop): void {
  const forwarded = forwardRequestHeaders(request.rawHeaders, hop.stripIdentity);
  const target = request.url ?? '';
  if (forwarded.kind === 'malformed' || !target.startsWith('/')) {
    refuseCall(response, 400, true);
    hop.onEnd({ kind: 'failed', reason: 'request-malformed' });
    return;
  }
  const call = new Call(request, response, hop);
  const { headers, contentLength, isChunked } = forwarded;
  headers.push(...hop.addedHeaders);
  const send = (body: Buffer | IncomingMessage | null): void =>
    call.send({ method: request.method as Dispatcher.HttpMethod, path: target, headers, body });
  if (!isChunked && (contentLength === null || contentLength === 0)) send(null);
  else if (contentLength !== null && contentLength <= MAXIMUM_HELD_OCTETS) holdBody(request, contentLength, send);
  else {
    boundUpload(request, response, hop.stalledMs);
    send(request);
  }
}

/** An answer of the proxy itself, without a body. */
export function refuseCall(response: ServerResponse, status: number, closes: boolean): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'Content-Length': 0, ...(closes ? { Connection: 'close' } : {}) }).end();
}

/** One call on its way: the handler of its answer. */
class Call implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #hop: CallHop;
  #controller: Dispatcher.DispatchController | null = null;
  #patience: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(request: IncomingMessage, response: ServerResponse, hop: CallHop) {
    this.#request = request;
    this.#response = response;
    this.#hop = hop;
    response.on('close', () => this.#left());
    response.on('error', ignore);
    request.on('error', ignore);
  }

  send(options: Dispatcher.DispatchOptions): void {
    // Nobody waits for the answer any more.
    if (this.#ended) return;
    this.#hop.upstream().dispatch(options, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended) controller.abort(new Error('the caller left'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, _headers: unknown, statusMessage = ''): void {
    // Interim answers are of the hop that asked for them.
    if (statusCode < 200) return;
    const headers = forwardResponseHeaders(controller.rawHeaders as Buffer[]);
    if (this.#hop.isRetiring()) headers.push('Connection', 'close');
    this.#response.sendDate = false;
    this.#response.writeHead(statusCode, REASON_PHRASE.test(statusMessage) ? statusMessage : '', headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#response.write(chunk)) return;
    controller.pause();
    this.#patience = setTimeout(() => this.#response.destroy(), this.#hop.stalledMs).unref();
    this.#response.once('drain', () => {
      clearTimeout(this.#patience);
      controller.resume();
    });
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: Record<string, string | string[] | undefined>): void {
    if (Object.keys(trailers).length > 0) this.#response.addTrailers(trailers as Record<string, string>);
    this.#end({ kind: 'answered' });
    this.#response.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: NodeJS.ErrnoException): void {
    if (this.#ended) return;
    const reason = reasonOf(error);
    this.#end({ kind: 'failed', reason });
    if (this.#response.headersSent) {
      // The answer is cut off: only a broken connection tells that it is not whole.
      this.#response.destroy();
      return;
    }
    const status = reason === 'request-malformed' ? 400 : reason === 'timeout' ? 504 : reason === 'upstream-unreachable' ? 503 : 502;
    if (this.#hop.explainsFailures) this.#response.setHeader('Countersign-Failure', reason);
    // What is left of the request's body would be read as the next request.
    refuseCall(this.#response, status, this.#hop.isRetiring() || !this.#request.complete);
  }

  #left(): void {
    clearTimeout(this.#patience);
    if (this.#ended) return;
    const hadAnswer = this.#response.headersSent;
    this.#end(hadAnswer ? { kind: 'answered' } : { kind: 'left' });
    this.#controller?.abort(new Error('the caller left'));
  }

  #end(end: CallEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hop.onEnd(end);
  }
}

/** A small body is read whole first, so that head and body leave in one write and a slow caller holds no connection behind. */
function holdBody(request: IncomingMessage, length: number, onBody: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => onBody(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)));
}

/** node:http closes the connection at this timeout. */
function boundUpload(request: IncomingMessage, response: ServerResponse, stalledMs: number): void {
  const { socket } = request;
  socket.setTimeout(stalledMs);
  request.once('end', () => {
    // Afterwards the timeout is that of an idle connection.
    if (!response.writableFinished) socket.setTimeout(0);
  });
}

function reasonOf(error: NodeJS.ErrnoException): RefusalReason {
  if (error instanceof UpstreamFailure) return error.reason;
  switch (error.code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'timeout';
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
    case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
      return 'request-malformed';
    case 'UND_ERR_HEADERS_OVERFLOW':
      return 'limit-exceeded';
    default:
      return 'upstream-broken';
  }
}

function ignore(): void {}

const MAXIMUM_HELD_OCTETS = 16_384;
/** RFC 9112 section 4; undici hands on what it is not, which node:http would throw at. The phrase means nothing to anybody. */
const REASON_PHRASE = /^[\t\x20-\x7e\x80-\xff]*$/;
