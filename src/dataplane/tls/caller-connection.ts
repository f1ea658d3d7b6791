import type { Socket } from 'node:net';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { callAtRetirement, retirementOf } from './certificate-end.ts';
import type { OpenConnection } from './connection-table.ts';
import type { Outcome, Unit } from './counters.ts';
import { serverIdentityOf } from './originate.ts';
import type { PortDeps } from './port-deps.ts';
import type { OutboundSettings } from './proxy-settings.ts';
import type { NamedServerWatch } from './prove-named-server.ts';
import type { ReplicaWatch } from './replicas.ts';
import { findRevocation } from './revoked-index.ts';
import { UpstreamFailure } from './upstream-failure.ts';

type Counted = { readonly unit: Unit; readonly outcome: Outcome; readonly reason: RefusalReason | null };

/** Counts on the caller's side what happened on the way to an endpoint. */
export function countCaller({ counters, live }: PortDeps, { endpointId, origination }: OutboundSettings, what: Counted): void {
  const { generation, spiffeId } = live;
  counters.count({ side: 'caller', endpointId, caller: spiffeId, generation, channel: origination.kind, ...what });
}

/** Takes a new connection to an endpoint into the table: it is closed when its server is revoked. */
export function callerConnected(deps: PortDeps, settings: OutboundSettings, socket: Socket): void {
  const { live, table } = deps;
  countCaller(deps, settings, { unit: 'connection', outcome: 'accepted', reason: null });
  const identity = serverIdentityOf(socket);
  const open: OpenConnection = {
    side: 'caller',
    endpointId: settings.endpointId,
    caller: live.spiffeId,
    channel: settings.origination.kind,
    identity,
    rejudge: (cause) => {
      if ((cause === 'revocation' || cause === 'trust') && identity !== null && findRevocation(live.revoked, identity) !== null)
        socket.destroy();
    },
  };
  table.add(open);
  // What an exception allows goes no further than its end, whoever can be asked then.
  const { origination } = settings;
  const until = (origination.kind === 'tls' ? origination.oldTls?.until : null) ?? Number.POSITIVE_INFINITY;
  const cancel = callAtRetirement(deps.clock, until, until, () => socket.destroy());
  socket.once('close', () => {
    cancel();
    table.remove(open);
  });
}

/** What is learnt of a server outside of the trust domain while its connections are made. */
export function watchNamedServer(deps: PortDeps, settings: OutboundSettings): NamedServerWatch {
  return {
    statuses: deps.statuses,
    onSeen: (keys) => deps.seenKeys.saw(settings.endpointId, keys),
    onWouldRefuse: (reason) => {
      countCaller(deps, settings, { unit: 'connection', outcome: 'would-refuse', reason });
      deps.log('warn', 'upstream would be refused', { endpoint: settings.endpointName, reason });
    },
  };
}

/** Counts and logs what happens with the replicas of an endpoint. */
export function watchReplicas({ counters, log }: PortDeps, { endpointId, endpointName }: OutboundSettings): ReplicaWatch {
  return (event, address) => {
    counters.countReplica(endpointId, event);
    if (event === 'retry' || event === 'retry-denied') return;
    log(event === 'returned' || event === 'healthy' ? 'info' : 'warn', `replica ${event}`, { endpoint: endpointName, address });
  };
}

/** Counts and logs a connection that could not be made. */
export function callerFailed(deps: PortDeps, settings: OutboundSettings, error: Error): void {
  const reason = error instanceof UpstreamFailure ? error.reason : 'upstream-broken';
  countCaller(deps, settings, { unit: 'connection', outcome: 'failed', reason });
  deps.log('warn', 'upstream failed', { endpoint: settings.endpointName, reason, detail: error.message });
}

/** Calls back before the certificate of the connection's server ends, with how long it lasts still; returns what takes that back. */
export function beforeServerEnds({ clock }: PortDeps, socket: Socket, onEnding: (leftMs: number) => void): () => void {
  const validUntil = serverIdentityOf(socket)?.validUntil ?? Number.POSITIVE_INFINITY;
  return callAtRetirement(clock, retirementOf(clock.now(), validUntil), validUntil, onEnding);
}
