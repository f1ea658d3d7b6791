import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { judgeConnection, type Verdict } from './judge-connection.ts';
import { type PortDeps, recordRefusal } from './port-deps.ts';
import type { InboundSettings } from './proxy-settings.ts';
import type { ReceiverConnection } from './receiver-connection.ts';

/**
 * The verdict on one more call of an admitted connection; null if it was refused, which is recorded. Each one is judged anew: what was
 * allowed at the handshake may be revoked since.
 */
export function admitCall(deps: PortDeps, settings: InboundSettings, connection: ReceiverConnection): Verdict | null {
  const verdict = judgeConnection(deps.clock.now(), connection.peer, settings, deps.live.revoked);
  if (verdict.kind !== 'refuse') return verdict;
  // The mode rose: calls go on while the connection drains, and count as what they are. Revocation knows no grace.
  const isRevocation = verdict.reason === 'revoked' || verdict.reason === 'suspended';
  if (!isRevocation && connection.isInGrace()) return { kind: 'would-refuse', reason: verdict.reason };
  refuseCallOf(deps, connection, { settings, reason: verdict.reason });
  return null;
}

/** Records that a call of an admitted connection was refused. */
export function refuseCallOf(
  deps: PortDeps,
  connection: ReceiverConnection,
  { settings, reason }: { readonly settings: InboundSettings; readonly reason: RefusalReason },
): void {
  const { endpointName } = settings;
  const { endpointId, peer, firstOctetsSha256, remote, octetsForwarded } = connection;
  recordRefusal(deps, { endpointId, endpointName, peer, firstOctetsSha256, remote, octetsForwarded, unit: 'call', reason });
}

/** Counts a call that was served under this verdict; `failed` says why it could not be. */
export function countCall(
  { counters, live }: PortDeps,
  { endpointId, caller, channel }: ReceiverConnection,
  { verdict, failed }: { readonly verdict: Verdict; readonly failed: RefusalReason | null },
): void {
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

/** A would-be refusal for what the certificate itself is, is no proof; one for who may call is. */
export function provesIdentity(verdict: Verdict): boolean {
  return verdict.kind === 'accept' || verdict.reason === 'wrong-identity';
}

export const ACCEPTED: Verdict = { kind: 'accept' };
