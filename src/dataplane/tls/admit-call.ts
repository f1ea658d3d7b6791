import { hostNameOf } from '../../core/routes/call-pattern.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { judgeUnproved, outcomeOf } from './admit-excepted.ts';
import type { CallRequest } from './call-request.ts';
import { judgeConnection, modeFor, type Verdict } from './judge-connection.ts';
import { type PortDeps, recordRefusal } from './port-deps.ts';
import type { InboundSettings } from './proxy-settings.ts';
import type { ReceiverConnection } from './receiver-connection.ts';

/**
 * The verdict on one more call of an admitted connection; a refusal is recorded. Each one is judged anew: what was allowed at the
 * handshake may be revoked since, and who may connect need not be who may make this call.
 */
export function admitCall(deps: PortDeps, settings: InboundSettings, connection: ReceiverConnection, request: CallRequest): Verdict {
  const verdict = judgeConnection(deps.clock.now(), connection.peer, settings, deps.live.revoked);
  if (verdict.kind === 'accept') {
    const fault = findCallFault(deps.clock.now(), { settings, connection, request });
    if (fault === null) return verdict;
    const { reason } = fault;
    if (modeFor(connection.peer, settings) !== 'enforce') return { kind: 'would-refuse', reason };
    refuseCallOf(deps, connection, { settings, ...fault });
    return { kind: 'refuse', reason };
  }
  const unproved = settings.exceptions === null ? verdict : judgeUnproved(deps, { settings, connection, request, verdict });
  if (unproved.kind !== 'refuse') return unproved;
  // The mode rose: calls go on while the connection drains, and count as what they are. Revocation knows no grace.
  const { reason } = unproved;
  const isRevocation = reason === 'revoked' || reason === 'suspended';
  if (!isRevocation && connection.isInGrace()) return { kind: 'would-refuse', reason };
  refuseCallOf(deps, connection, { settings, reason });
  return unproved;
}

/** True if the refusal is of one call, and the connection is good for others. */
export function isOfCallAlone(reason: RefusalReason): boolean {
  return (
    reason === 'route' || reason === 'host-mismatch' || reason === 'token' || reason === 'limit-exceeded' || reason === 'body-too-large'
  );
}

type AskedCall = { readonly settings: InboundSettings; readonly connection: ReceiverConnection; readonly request: CallRequest };

/** Why this caller may not make this call; null if it may. */
function findCallFault(now: Instant, { settings, connection, request }: AskedCall): CallFault | null {
  const { hostMatchesSni, routes, tokens, rates, maximumBody } = settings;
  const { sni, identity } = connection;
  if (hostMatchesSni && sni !== null && hostNameOf(request.authority()) !== hostNameOf(sni)) return { reason: 'host-mismatch' };
  if (maximumBody !== Number.POSITIVE_INFINITY && request.bodyLength() > maximumBody) return { reason: 'body-too-large' };
  if (identity === null) return null;
  if (routes !== null && !routes.allows(identity, request)) return { reason: 'route' };
  const detail = tokens === null ? null : tokens.findFault(now, identity, request);
  if (detail !== null) return { reason: 'token', detail };
  // Last, so that nobody is charged for what is refused.
  return rates === null || rates.takes(identity.spiffeId, performance.now()) ? null : { reason: 'limit-exceeded' };
}

/** Records that a call of an admitted connection was refused. */
export function refuseCallOf(
  deps: PortDeps,
  connection: ReceiverConnection,
  { settings, reason, detail = '' }: { readonly settings: InboundSettings; readonly reason: RefusalReason; readonly detail?: string },
): void {
  const { endpointName } = settings;
  const { endpointId, peer, firstOctetsSha256, remote, octetsForwarded } = connection;
  // Of a held connection nothing was let in yet.
  const unit = connection.isHeld ? 'connection' : 'call';
  recordRefusal(deps, { endpointId, endpointName, peer, firstOctetsSha256, remote, octetsForwarded, unit, reason, detail });
}

/** Counts a call that was served under this verdict; `failed` says why it could not be. */
export function countCall(
  { counters, live }: PortDeps,
  { endpointId, caller, channel }: ReceiverConnection,
  { verdict, failed }: { readonly verdict: Verdict; readonly failed: RefusalReason | null },
): void {
  const { generation } = live;
  if (failed !== null) {
    counters.count({ side: 'receiver', endpointId, caller, generation, channel, unit: 'call', outcome: 'failed', reason: failed });
    return;
  }
  const { outcome, reason, exception } = outcomeOf(verdict);
  counters.count({ side: 'receiver', endpointId, caller, generation, channel, unit: 'call', outcome, reason, exception });
}

/** A would-be refusal for what the certificate itself is, is no proof; one for who may call is. */
export function provesIdentity(verdict: Verdict): boolean {
  return verdict.kind === 'accept' || verdict.reason === 'wrong-identity' || isOfCallAlone(verdict.reason);
}

/** `detail` is for the log alone. */
type CallFault =
  | { readonly reason: 'host-mismatch' | 'route' | 'limit-exceeded' | 'body-too-large' }
  | { readonly reason: 'token'; readonly detail: string };

export const ACCEPTED: Verdict = { kind: 'accept' };
