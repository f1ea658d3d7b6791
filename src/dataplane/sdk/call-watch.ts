import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { ACCEPTED, admitCall, countCall, refuseCallOf } from '../tls/admit-call.ts';
import { modeFor } from '../tls/judge-connection.ts';
import type { PortDeps } from '../tls/port-deps.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import { type Admitted, rememberCall } from './identity-of.ts';

/** Judges and counts the calls of one endpoint's admitted connections, whatever they are framed in. */
export class CallWatch {
  readonly #deps: PortDeps;
  readonly #settings: () => InboundSettings | null;

  constructor(deps: PortDeps, settings: () => InboundSettings | null) {
    this.#deps = deps;
    this.#settings = settings;
  }

  /** The call may go on to the handler, which can ask who made it; null if it was refused, which is recorded. */
  begin(connection: ReceiverConnection, request: object): Admitted | null {
    const settings = this.#settings();
    if (settings === null) return null;
    const verdict = admitCall(this.#deps, settings, connection);
    if (verdict === null) return null;
    const admitted = { connection, verdict, settings, begunAt: performance.now() };
    rememberCall(request, admitted);
    connection.beginCall();
    return admitted;
  }

  /** The answer is out, or will never be. */
  end({ connection, verdict }: Admitted, failed: RefusalReason | null): void {
    connection.endCall();
    countCall(this.#deps, connection, { verdict, failed });
  }

  /** Whoever called left before the answer. */
  left(admitted: Admitted): void {
    if (performance.now() - admitted.begunAt > PATIENT_MS) this.end(admitted, 'timeout');
    else admitted.connection.endCall();
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

/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
export const PATIENT_MS = 2_000;
