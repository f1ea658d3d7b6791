import { countConnection } from './admit-excepted.ts';
import type { Cause } from './connection-table.ts';
import { judgeConnection, type Verdict } from './judge-connection.ts';
import type { ProvedIdentity } from './peer.ts';
import type { PortDeps } from './port-deps.ts';
import type { InboundSettings } from './proxy-settings.ts';
import type { ReceiverConnection } from './receiver-connection.ts';

/** Judges an open connection by what is in force now. */
export function rejudgeConnection(deps: PortDeps, settings: InboundSettings, connection: ReceiverConnection, cause: Cause): void {
  const { live, clock } = deps;
  const { peer, identity } = connection;
  const isForeign = identity !== null && identity.foreignAnchor !== null;
  if (cause === 'trust' && identity !== null && !isForeign && !isProvedStill(deps, identity)) {
    connection.retire(settings.drainMs);
    return;
  }
  const verdict = judgeConnection(clock.now(), peer, settings, live.revoked);
  if (verdict.kind !== 'refuse') {
    connection.spare();
    if (connection.exception !== null && !isExceptedStill(deps, settings, connection))
      deps.table.reclassify(connection, () => (connection.exception = null));
    letIn(deps, connection, verdict);
    return;
  }
  // Another trust domain revokes by what it leaves out of its bundle.
  if (verdict.reason === 'revoked' || verdict.reason === 'suspended' || (isForeign && verdict.reason === 'unknown-authority')) {
    if (settings.protocol !== 'tcp') connection.cut(REVOKED_CALL_MS);
    else connection.socket.destroy();
    return;
  }
  if (connection.exception === null) connection.drain(settings.drainMs);
  // What was let in by name, and never under a weaker mode, has no grace when that ends.
  else if (cause === 'end') connection.socket.destroy();
  else if (!isExceptedStill(deps, settings, connection)) connection.retire(settings.drainMs);
}

/** What was held for its first call waits for none where nothing is enforced any more, and is not cut for that. */
function letIn(deps: PortDeps, connection: ReceiverConnection, verdict: Verdict): void {
  if (!connection.isHeld) return;
  connection.release();
  const { exception } = connection;
  countConnection(deps, connection, exception === null ? verdict : { kind: 'except', reason: 'no-certificate', exception });
}

/** Under the trust bundle of now; judged once for all connections of one certificate. */
function isProvedStill({ live, kept, clock }: PortDeps, { path }: ProvedIdentity): boolean {
  const presented = { leaf: path[0]!, readChain: () => path, resumed: false, usage: 'client' } as const;
  return kept.judge(clock.now(), live.contexts.trust, presented).kind === 'proved';
}

/** Under the exception of the name that it has; the end may have moved nearer. */
function isExceptedStill({ clock }: PortDeps, { exceptions, protocol }: InboundSettings, connection: ReceiverConnection): boolean {
  const exception = exceptions?.named(connection.exception!, clock.now(), connection) ?? null;
  if (exception !== null && (protocol === 'tcp' || !connection.isIdle)) connection.endBy(exception.until);
  return exception !== null;
}

/** A call of a revoked identity that was under way may end within this time. */
const REVOKED_CALL_MS = 500;
