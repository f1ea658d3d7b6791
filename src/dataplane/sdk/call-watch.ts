import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { ACCEPTED, admitCall, countCall, isOfCallAlone, refuseCallOf } from '../tls/admit-call.ts';
import type { CallRequest } from '../tls/call-request.ts';
import { modeFor, type Verdict } from '../tls/judge-connection.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { type Admitted, rememberCall } from './identity-of.ts';

const statuses: { readonly [reason in RefusalReason]?: 401 | 413 | 421 | 429 } = {
  token: 401,
  'body-too-large': 413,
  'host-mismatch': 421,
  'limit-exceeded': 429,
};

/** A call that was refused, which is recorded. */
export type Denied = {
  readonly kind: 'denied';
  readonly closes: boolean;
  readonly status: 401 | 403 | 413 | 421 | 429;
  /** The connection is cut without an answer. */
  readonly isSilent: boolean;
};

/** Judges and counts the calls of one endpoint's admitted connections, whatever they are framed in. */
export class CallWatch {
  readonly #deps: PortDeps;
  readonly #settings: () => InboundSettings | null;
  /** Calls whose body was too long, and whether they were refused for it. */
  readonly #tooLong = new WeakMap<Admitted, boolean>();

  constructor(deps: PortDeps, settings: () => InboundSettings | null) {
    this.#deps = deps;
    this.#settings = settings;
  }

  /** The call may go on to the handler, which can ask by `handle` who made it. */
  begin(connection: ReceiverConnection, handle: object, request: CallRequest): Admitted | Denied {
    const settings = this.#settings();
    if (settings === null) return { kind: 'denied', closes: true, status: 403, isSilent: false };
    const verdict = admitCall(this.#deps, settings, connection, request);
    if (verdict.kind === 'refuse') {
      const closes = !isOfCallAlone(verdict.reason) || this.isRetiring(connection);
      return { kind: 'denied', status: statuses[verdict.reason] ?? 403, closes, isSilent: this.isSilent(connection) };
    }
    const admitted = { kind: 'admitted', connection, verdict, settings, begunAt: performance.now() } as const;
    rememberCall(handle, admitted);
    connection.beginCall();
    return admitted;
  }

  /**
   * For frameworks that answer some calls before they let anybody judge them: false, and recorded, where this one is of a connection that
   * was let in by name only and is not covered.
   */
  covers(connection: ReceiverConnection, request: CallRequest): boolean {
    const settings = this.#settings();
    if (settings === null || !this.isSilent(connection)) return true;
    if (settings.exceptions?.ofCall(this.#deps.clock.now(), connection, request).kind === 'excepted') return true;
    return admitCall(this.#deps, settings, connection, request).kind !== 'refuse';
  }

  /** What the policy puts into answers on this connection; a handler can still say otherwise. */
  answerFields({ channel }: ReceiverConnection): readonly (readonly [name: string, value: string])[] {
    const added = (channel === 'plaintext' ? null : this.#settings()?.answers.secure)?.added ?? [];
    return added.flatMap((name, at) => (at % 2 === 0 ? [[name, added[at + 1]!] as const] : []));
  }

  /** The answer is out, or will never be. */
  end(admitted: Admitted, failed: RefusalReason | null): void {
    const { connection } = admitted;
    connection.endCall();
    const isRefused = this.#tooLong.get(admitted);
    if (isRefused === true) return;
    const verdict = isRefused === false && admitted.verdict.kind === 'accept' ? TOO_LONG : admitted.verdict;
    countCall(this.#deps, connection, { verdict, failed });
  }

  /** The body has more octets than it may; asked once. True if the call is refused for that, which is recorded then. */
  refusesBody(admitted: Admitted): boolean {
    const { connection, settings } = admitted;
    const isRefused = modeFor(connection.peer, settings) === 'enforce';
    this.#tooLong.set(admitted, isRefused);
    if (isRefused) refuseCallOf(this.#deps, connection, { settings, reason: 'body-too-large' });
    return isRefused;
  }

  /** Whoever called left before the answer. */
  left(admitted: Admitted): void {
    if (performance.now() - admitted.begunAt > PATIENT_MS) this.end(admitted, 'timeout');
    else admitted.connection.endCall();
  }

  /** Whoever calls proves nothing and was let in by name only: what is refused is cut, without an answer. */
  isSilent({ exception, peer }: ReceiverConnection): boolean {
    const settings = this.#settings();
    return exception !== null && settings !== null && modeFor(peer, settings) === 'enforce';
  }

  /** What arrived is no acceptable request. */
  broken(connection: ReceiverConnection, reason: RefusalReason): void {
    const settings = this.#settings();
    if (settings === null) return;
    if (modeFor(connection.peer, settings) === 'enforce') refuseCallOf(this.#deps, connection, { settings, reason });
    else countCall(this.#deps, connection, { verdict: ACCEPTED, failed: reason });
  }

  /** True if the connection takes no further call, which the answer then says. */
  isRetiring(connection: ReceiverConnection): boolean {
    return connection.isRetiring || this.#deps.clock.now() >= connection.retireAt;
  }
}

const TOO_LONG: Verdict = { kind: 'would-refuse', reason: 'body-too-large' };
/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
export const PATIENT_MS = 2_000;
