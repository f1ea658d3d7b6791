import { hostNameOf } from '../../core/routes/call-pattern.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { CallRequest } from './call-request.ts';
import type { Happening } from './counters.ts';
import type { Verdict } from './judge-connection.ts';
import type { PortDeps } from './port-deps.ts';
import type { InboundSettings } from './proxy-settings.ts';
import type { ReceiverConnection } from './receiver-connection.ts';

export type UnprovedCall = {
  readonly settings: InboundSettings;
  readonly connection: ReceiverConnection;
  readonly request: CallRequest;
  /** Without an exception. */
  readonly verdict: Exclude<Verdict, { readonly kind: 'accept' }>;
};

/**
 * The verdict on a call of a connection that proves no identity, at an endpoint with exceptions. In every mode what an exception covers
 * is counted under its name, so that a rollout knows what enforcement will let be.
 */
export function judgeUnproved(deps: PortDeps, { settings, connection, request, verdict }: UnprovedCall): Verdict {
  const found = settings.exceptions?.ofCall(deps.clock.now(), connection, request) ?? NONE;
  if (found.kind !== 'excepted') {
    if (found.kind === 'ended' && verdict.kind === 'refuse') return { kind: 'refuse', reason: 'exception-ended' };
    // From now on it is what everybody is that proves nothing: a wave waits for it.
    if (verdict.kind !== 'refuse' && connection.exception !== null) deps.table.reclassify(connection, () => (connection.exception = null));
    return verdict;
  }
  const { name, until } = found.exception;
  const fault = findFault(settings, connection, request, name);
  if (fault !== null) return { kind: verdict.kind === 'refuse' ? 'refuse' : 'would-refuse', reason: fault };
  if (connection.exception !== null) {
    connection.exception = name;
    // A call that goes on past the end of what allowed it would be an exception without end.
    connection.endBy(until);
  }
  if (connection.isHeld) {
    connection.release();
    countConnection(deps, connection, { kind: 'except', reason: verdict.reason, exception: name });
  }
  return { kind: 'except', reason: verdict.reason, exception: name };
}

/** What holds for every call holds for these: an exception stands for the certificate alone. */
function findFault(settings: InboundSettings, { sni }: ReceiverConnection, request: CallRequest, name: string): RefusalReason | null {
  const { hostMatchesSni, maximumBody, rates } = settings;
  if (hostMatchesSni && sni !== null && hostNameOf(request.authority()) !== hostNameOf(sni)) return 'host-mismatch';
  if (maximumBody !== Number.POSITIVE_INFINITY && request.bodyLength() > maximumBody) return 'body-too-large';
  // All that come under one exception share what one caller has.
  return rates === null || rates.takes(`exception ${name}`, performance.now()) ? null : 'limit-exceeded';
}

/** Counts a connection that was let in under this verdict. */
export function countConnection({ counters, live }: PortDeps, { endpointId, caller, channel }: ReceiverConnection, verdict: Verdict): void {
  counters.count({
    side: 'receiver',
    endpointId,
    caller,
    generation: live.generation,
    channel,
    unit: 'connection',
    ...outcomeOf(verdict),
  });
}

/** How telemetry tells what was served under this verdict. */
export function outcomeOf(verdict: Verdict): Pick<Happening, 'outcome' | 'reason' | 'exception'> {
  if (verdict.kind === 'accept') return ACCEPTED;
  if (verdict.kind === 'except') return { outcome: 'excepted', reason: null, exception: verdict.exception };
  return { outcome: 'would-refuse', reason: verdict.reason };
}

const ACCEPTED = { outcome: 'accepted', reason: null } as const;

const NONE = { kind: 'none' } as const;
