import { type PortDeps, recordRefusal } from '../tls/port-deps.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { CallEnd, CallGate, CallHop } from './call-gate.ts';
import { judgeConnection, modeFor, type Verdict } from '../tls/judge-connection.ts';
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

  admit(): CallHop | null {
    const verdict = this.#judge();
    if (verdict === null) return null;
    this.#connection.beginCall();
    return new InboundCall(this.#options, this.#connection, verdict);
  }

  onBroken(reason: RefusalReason): void {
    const { deps, settings } = this.#options;
    const facts = { ...refusalFacts(settings(), this.#connection), reason };
    if (modeFor(this.#connection.peer, settings()) === 'enforce') recordRefusal(deps, facts);
    else countCall(deps, this.#connection, { kind: 'failed', reason }, ACCEPTED);
  }

  /** The verdict on one more call of this connection; null if it was refused, which is recorded. */
  #judge(): Verdict | null {
    const { deps, settings } = this.#options;
    const connection = this.#connection;
    const rules = settings();
    const verdict = judgeConnection(deps.clock.now(), connection.peer, rules, deps.live.revoked);
    if (verdict.kind !== 'refuse') return verdict;
    // The mode rose: calls go on while the connection drains, and count as what they are. Revocation knows no grace.
    const isRevocation = verdict.reason === 'revoked' || verdict.reason === 'suspended';
    if (!isRevocation && connection.isInGrace()) return { kind: 'would-refuse', reason: verdict.reason };
    recordRefusal(deps, { ...refusalFacts(rules, connection), reason: verdict.reason });
    return null;
  }
}

class InboundCall implements CallHop {
  readonly stripIdentity = true;
  readonly explainsFailures = false;
  readonly #options: InboundCallsOptions;
  readonly #connection: ReceiverConnection;
  readonly #verdict: Verdict;
  readonly #begunAt = performance.now();

  constructor(options: InboundCallsOptions, connection: ReceiverConnection, verdict: Verdict) {
    this.#options = options;
    this.#connection = connection;
    this.#verdict = verdict;
  }

  upstream(): Upstream {
    return this.#options.upstream();
  }

  get addedHeaders(): readonly string[] {
    return provesIdentity(this.#verdict) ? this.#connection.identityHeaders : [];
  }

  get stalledMs(): number {
    return this.#options.deps.limits.stalledMs;
  }

  isRetiring(): boolean {
    return this.#connection.isRetiring || this.#options.deps.clock.now() >= this.#connection.retireAt;
  }

  onEnd(end: CallEnd): void {
    const { deps } = this.#options;
    if (end.kind !== 'left') countCall(deps, this.#connection, end, this.#verdict);
    else if (performance.now() - this.#begunAt > PATIENT_MS)
      countCall(deps, this.#connection, { kind: 'failed', reason: 'timeout' }, this.#verdict);
  }

  onClose(): void {
    this.#connection.endCall();
  }
}

/** A would-be refusal for what the certificate itself is, is no proof; one for who may call is. */
function provesIdentity(verdict: Verdict): boolean {
  return verdict.kind === 'accept' || verdict.reason === 'wrong-identity';
}

function countCall({ counters, live }: PortDeps, connection: ReceiverConnection, end: CallEnd, verdict: Verdict): void {
  const { endpointId, caller, channel } = connection;
  const failed = end.kind === 'failed' ? end.reason : null;
  counters.count({
    side: 'receiver',
    endpointId,
    caller,
    generation: live.generation,
    channel,
    unit: 'call',
    outcome: failed !== null ? 'failed' : verdict.kind === 'accept' ? 'accepted' : 'would-refuse',
    reason: failed ?? (verdict.kind === 'accept' ? null : verdict.reason),
  });
}

function refusalFacts({ endpointName }: InboundSettings, connection: ReceiverConnection) {
  const { endpointId, peer, firstOctetsSha256, remote, octetsForwarded } = connection;
  return { endpointId, endpointName, peer, firstOctetsSha256, remote, octetsForwarded, unit: 'call' } as const;
}

const ACCEPTED: Verdict = { kind: 'accept' };
/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
const PATIENT_MS = 2_000;
