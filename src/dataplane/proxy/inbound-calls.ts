import { challengeFor } from '../tls/bound-tokens.ts';
import { ACCEPTED, admitCall, countCall, isOfCallAlone, provesIdentity, refuseCallOf } from '../tls/admit-call.ts';
import type { PortDeps, ProxyLimits } from '../tls/port-deps.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { AnswerRules } from '../tls/answer-rules.ts';
import type { CallRequest } from '../tls/call-request.ts';
import type { CallDenial, CallEnd, CallGate, CallHop } from './call-gate.ts';
import { modeFor, type Verdict } from '../tls/judge-connection.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { Upstream } from './upstream.ts';

/** What the calls of all connections of a port share. */
export type InboundCallsOptions = {
  readonly deps: PortDeps;
  readonly settings: () => InboundSettings;
  readonly upstream: () => Upstream;
};

/** The calls on one accepted connection. Each one is judged anew: what was allowed at the handshake may be revoked since. */
export class InboundCalls implements CallGate {
  readonly #options: InboundCallsOptions;
  readonly #connection: ReceiverConnection;

  constructor(options: InboundCallsOptions, connection: ReceiverConnection) {
    this.#options = options;
    this.#connection = connection;
  }

  admit(request: CallRequest): CallHop | CallDenial {
    const { deps, settings } = this.#options;
    const verdict = admitCall(deps, settings(), this.#connection, request);
    if (verdict.kind === 'refuse') return denialOf(verdict.reason, request, isRetiring(deps, this.#connection));
    this.#connection.beginCall();
    return new InboundCall(this.#options, this.#connection, verdict);
  }

  get limits(): ProxyLimits {
    return this.#options.deps.limits;
  }

  get answers(): AnswerRules | null {
    return rulesFor(this.#options.settings(), this.#connection);
  }

  get isSilent(): boolean {
    const { exception, peer } = this.#connection;
    return exception !== null && modeFor(peer, this.#options.settings()) === 'enforce';
  }

  onBroken(reason: RefusalReason): void {
    const { deps, settings } = this.#options;
    if (modeFor(this.#connection.peer, settings()) === 'enforce') refuseCallOf(deps, this.#connection, { settings: settings(), reason });
    else countCall(deps, this.#connection, { verdict: ACCEPTED, failed: reason });
  }
}

function rulesFor({ answers }: InboundSettings, { channel }: ReceiverConnection): AnswerRules | null {
  return channel === 'plaintext' ? answers.clear : answers.secure;
}

/** RFC 9110 section 15.5.20: the caller may make the call on a connection for that host. */
function denialOf(reason: RefusalReason, request: CallRequest, retires: boolean): CallDenial {
  const closes = retires || !isOfCallAlone(reason);
  if (reason === 'token') return { kind: 'denied', status: 401, closes, challenge: challengeFor(request) };
  return { kind: 'denied', status: statuses[reason] ?? 403, closes, challenge: null };
}

const statuses: { readonly [reason in RefusalReason]?: 413 | 421 | 429 } = {
  'host-mismatch': 421,
  'limit-exceeded': 429,
  'body-too-large': 413,
};

/** The same array for the same fields, of which the framing keeps the lines. */
function withoutOmitted(headers: readonly string[], omitted: ReadonlySet<string>): readonly string[] {
  if (omitted.size === 0) return headers;
  const known = reduced.get(headers);
  if (known?.omitted === omitted) return known.headers;
  const left = headers.filter((_text, at) => !omitted.has(headers[at - (at % 2)]!.toLowerCase()));
  reduced.set(headers, { omitted, headers: left });
  return left;
}

const reduced = new WeakMap<readonly string[], { readonly omitted: ReadonlySet<string>; readonly headers: readonly string[] }>();

function isRetiring({ clock }: PortDeps, connection: ReceiverConnection): boolean {
  return connection.isRetiring || clock.now() >= connection.retireAt;
}

class InboundCall implements CallHop {
  readonly kind = 'hop';
  readonly stripIdentity = true;
  readonly explainsFailures = false;
  readonly #options: InboundCallsOptions;
  readonly #connection: ReceiverConnection;
  readonly maximumBody: number;
  #verdict: Verdict;
  #isRefused = false;
  readonly #begunAt = performance.now();

  constructor(options: InboundCallsOptions, connection: ReceiverConnection, verdict: Verdict) {
    this.#options = options;
    this.#connection = connection;
    this.#verdict = verdict;
    this.maximumBody = options.settings().maximumBody;
  }

  upstream(): Upstream {
    return this.#options.upstream();
  }

  get addedHeaders(): readonly string[] {
    return provesIdentity(this.#verdict) ? withoutOmitted(this.#connection.identityHeaders, this.#options.settings().omittedIdentity) : [];
  }

  get answers(): AnswerRules | null {
    return rulesFor(this.#options.settings(), this.#connection);
  }

  get stalledMs(): number {
    return this.#options.deps.limits.stalledMs;
  }

  isRetiring(): boolean {
    return isRetiring(this.#options.deps, this.#connection);
  }

  refusesBody(): boolean {
    const { deps, settings } = this.#options;
    this.#isRefused = modeFor(this.#connection.peer, settings()) === 'enforce';
    if (this.#isRefused) refuseCallOf(deps, this.#connection, { settings: settings(), reason: 'body-too-large' });
    else if (this.#verdict.kind !== 'would-refuse') this.#verdict = { kind: 'would-refuse', reason: 'body-too-large' };
    return this.#isRefused;
  }

  onEnd(end: CallEnd): void {
    if (this.#isRefused) return;
    if (end.kind === 'left' && performance.now() - this.#begunAt <= PATIENT_MS) return;
    const failed = end.kind === 'answered' ? null : end.kind === 'left' ? 'timeout' : end.reason;
    countCall(this.#options.deps, this.#connection, { verdict: this.#verdict, failed });
  }

  onClose(): void {
    this.#connection.endCall();
  }
}

/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
const PATIENT_MS = 2_000;
