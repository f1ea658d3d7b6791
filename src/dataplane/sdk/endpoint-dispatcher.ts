import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { Dispatcher } from 'undici';
import { Problem } from '../../core/problems/problem.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { countCaller } from '../tls/caller-connection.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { OutboundSettings } from '../tls/proxy-settings.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';
import { PATIENT_MS } from './call-watch.ts';
import type { EndpointWay } from './endpoint-way.ts';

/** Finds the way to an endpoint by its name. @throws not-found */
export type FindWay = (endpoint: string) => EndpointWay;

/**
 * An undici dispatcher for URLs whose host is the name of an endpoint. The settings say how an endpoint is spoken to; `https:` in the URL
 * demands that it is not plaintext.
 */
export class EndpointDispatcher extends Dispatcher {
  readonly #deps: PortDeps;
  readonly #find: FindWay;
  readonly #origins = new Map<string, Origin>();

  constructor(deps: PortDeps, find: FindWay) {
    super();
    this.#deps = deps;
    this.#find = find;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const origin = this.#originOf(options.origin);
    const way = this.#find(origin.host);
    const { settings } = way;
    if (origin.demandsTls && settings.origination.kind === 'plaintext') {
      throw new Problem(
        'state-conflict',
        `Cannot call https://${origin.host}: its path is in plaintext at this stage, expected http: or a later stage of the rollout`,
      );
    }
    return way.dispatch(options, new CountedCall(handler, this.#deps, settings));
  }

  // The connections belong to whoever opened the service's data plane, and end with it.
  override close(...args: readonly unknown[]): any {
    return settled(args);
  }

  override destroy(...args: readonly unknown[]): any {
    return settled(args);
  }

  #originOf(given: string | URL | undefined): Origin {
    const text = String(given);
    const known = this.#origins.get(text);
    if (known !== undefined) return known;
    const url = new URL(text);
    const made = { host: url.hostname, demandsTls: url.protocol === 'https:' };
    // Only names of endpoints are kept, so there are few.
    this.#find(made.host);
    this.#origins.set(text, made);
    return made;
  }
}

type Origin = { readonly host: string; readonly demandsTls: boolean };

function settled(args: readonly unknown[]): Promise<void> | void {
  const callback = args.find((argument) => typeof argument === 'function') as (() => void) | undefined;
  return callback === undefined ? Promise.resolve() : queueMicrotask(callback);
}

/** Counts how a call ended; everything else goes on to whoever made it. */
class CountedCall implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #deps: PortDeps;
  readonly #settings: OutboundSettings;
  readonly #begunAt = performance.now();

  constructor(handler: Dispatcher.DispatchHandler, deps: PortDeps, settings: OutboundSettings) {
    this.#handler = handler;
    this.#deps = deps;
    this.#settings = settings;
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context);
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    this.#count(null);
    this.#handler.onRequestUpgrade?.(controller, statusCode, headers, socket);
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders, statusText?: string): void {
    this.#handler.onResponseStart?.(controller, statusCode, headers, statusText);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#count(null);
    this.#handler.onResponseEnd?.(controller, trailers);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    const reason = reasonOf(error) ?? (performance.now() - this.#begunAt > PATIENT_MS ? 'timeout' : null);
    if (reason !== null) this.#count(reason);
    this.#handler.onResponseError?.(controller, error);
  }

  #count(reason: RefusalReason | null): void {
    countCaller(this.#deps, this.#settings, { unit: 'call', outcome: reason === null ? 'accepted' : 'failed', reason });
  }
}

/** Null where the caller itself gave up: that is no fault of the path. */
function reasonOf(error: Error & { readonly code?: string }): RefusalReason | null {
  if (error instanceof UpstreamFailure) return error.reason;
  switch (error.code) {
    case 'UND_ERR_ABORTED':
    case 'ABORT_ERR':
      return null;
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
      return error.name === 'AbortError' ? null : 'upstream-broken';
  }
}
