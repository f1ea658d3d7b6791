import { type Inbound, Mode, type RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';

/** Who meets what at an endpoint, as Envoy can tell them apart. */
export type CallerRules = {
  /** `open`: who proves nothing is let in. `closed`: nobody gets through the handshake who is not an allowed caller. */
  readonly door: 'open' | 'closed';
  readonly strangers: 'let in' | 'refused';
  /** Allowed and not suspended, sorted. */
  readonly callers: readonly string[];
  /** Allowed, and refused while suspended. */
  readonly refusedSuspended: readonly string[];
  /** Allowed, suspended, and let in all the same: nothing of what they prove is told to the service. */
  readonly unprovedSuspended: readonly string[];
  /** Suspended, of nobody's rule, and let in like these; sorted. */
  readonly suspendedStrangers: readonly string[];
  /** Of the callers those whose calls can be refused. */
  readonly enforced: readonly string[];
  /** Null: nobody probes. */
  readonly probe: string | null;
};

export function callerRules(inbound: Inbound, { suspendedSpiffeIds }: RevokedSet): CallerRules {
  const suspended = new Set(suspendedSpiffeIds);
  const modes = new Map(inbound.callers.map(({ spiffeId, mode }) => [spiffeId, mode]));
  const allowed = [...modes.keys()].toSorted();
  const isEnforced = (caller: string): boolean => modes.get(caller) === Mode.ENFORCE;
  const callers = allowed.filter((caller) => !suspended.has(caller));
  const gone = allowed.filter((caller) => suspended.has(caller));
  const probe = inbound.probeSpiffeId;
  const strangers = inbound.strangerMode === Mode.ENFORCE ? 'refused' : 'let in';
  return {
    door: inbound.anonymousMode === Mode.ENFORCE ? 'closed' : 'open',
    strangers,
    callers,
    refusedSuspended: gone.filter(isEnforced),
    unprovedSuspended: gone.filter((caller) => !isEnforced(caller)),
    suspendedStrangers: strangers === 'refused' ? [] : [...suspended].filter((one) => !modes.has(one)).toSorted(),
    enforced: callers.filter(isEnforced),
    probe: probe === '' || suspended.has(probe) ? null : probe,
  };
}
