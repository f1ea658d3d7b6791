import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { isIdempotent, MAXIMUM_RETRIES } from '../tls/repeated-call.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';

export type CallWay = {
  /** Sends the call to the replica whose turn it is; returns which one that is. */
  send(handler: Dispatcher.DispatchHandler): number;
  mayRepeat(): boolean;
  note(index: number, isGood: boolean): void;
};

/** One call of undici that is sent again where that does no harm, and of which it is noted what it came to. */
export class RepeatableCall implements Dispatcher.DispatchHandler {
  readonly #way: CallWay;
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #isRepeatable: boolean;
  readonly #controller = new SteadyController();
  #index = 0;
  #triesLeft = MAXIMUM_RETRIES;
  #hasAnswer = false;

  constructor(way: CallWay, { method, body, upgrade }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.#way = way;
    this.#handler = handler;
    this.#isRepeatable = isIdempotent(method) && (body === null || body === undefined) && !upgrade;
  }

  send(): void {
    this.#index = this.#way.send(this);
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    const isFirst = this.#controller.follow(controller);
    if (isFirst) this.#handler.onRequestStart?.(this.#controller, context);
  }

  onRequestUpgrade(_controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    this.#handler.onRequestUpgrade?.(this.#controller, statusCode, headers, socket);
  }

  /** Of the first octet: half a status line is an answer, too. */
  onResponseStarted(): void {
    this.#hasAnswer = true;
    this.#handler.onResponseStarted?.();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders, statusText?: string): void {
    if (statusCode >= 200) this.#way.note(this.#index, statusCode < 500);
    this.#handler.onResponseStart?.(this.#controller, statusCode, headers, statusText);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(this.#controller, chunk);
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#handler.onResponseEnd?.(this.#controller, trailers);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // A connection that could not be made was noted as such, and all replicas were tried for it.
    const isReplicas = !(error instanceof UpstreamFailure) && faults.has((error as NodeJS.ErrnoException).code ?? '');
    if (isReplicas) this.#way.note(this.#index, false);
    if (isReplicas && this.#mayRepeat(error)) return this.send();
    this.#handler.onResponseError?.(this.#controller, error);
  }

  #mayRepeat(error: NodeJS.ErrnoException): boolean {
    if (!this.#isRepeatable || this.#hasAnswer || this.#controller.aborted || this.#triesLeft === 0) return false;
    if (!cuts.has(error.code ?? '')) return false;
    this.#triesLeft -= 1;
    return this.#way.mayRepeat();
  }
}

/** The one controller that whoever called has, over all tries. */
class SteadyController implements Dispatcher.DispatchController {
  #current: Dispatcher.DispatchController | null = null;

  /** True the first time. */
  follow(controller: Dispatcher.DispatchController): boolean {
    const isFirst = this.#current === null;
    this.#current = controller;
    return isFirst;
  }

  get aborted(): boolean {
    return this.#current?.aborted ?? false;
  }

  get paused(): boolean {
    return this.#current?.paused ?? false;
  }

  get reason(): Error | null {
    return this.#current?.reason ?? null;
  }

  get rawHeaders(): NonNullable<Dispatcher.DispatchController['rawHeaders']> | null {
    return this.#current?.rawHeaders ?? null;
  }

  get rawTrailers(): NonNullable<Dispatcher.DispatchController['rawTrailers']> | null {
    return this.#current?.rawTrailers ?? null;
  }

  abort(reason: Error): void {
    this.#current?.abort(reason);
  }

  pause(): void {
    this.#current?.pause();
  }

  resume(): void {
    this.#current?.resume();
  }
}

/** The connection ended by itself: before an octet of the answer, the call may be sent again. */
const cuts: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);
const faults: ReadonlySet<string> = new Set([...cuts, 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
