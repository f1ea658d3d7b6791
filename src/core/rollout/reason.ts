import type { EntityId } from '../ids/entity-id.ts';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';

/** Why the rollout moved, holds or went back. A closed set: plans, steps, the log and the CLI use these words. */
export const reasonCodes = {
  // What a step tells.
  'new-path': 'the path is new and gets its wave',
  'endpoint-already-enforced': 'the endpoint is enforced, so a path that comes later is enforced from its first call',
  'receivers-first': 'the receivers accept both before any caller switches',
  'receivers-ready': 'all receivers of the wave acknowledged and report',
  'wave-good': 'the callers of the wave switched and nothing failed',
  'gate-green': 'everything that enforcement needs was seen over the whole window',
  drained: 'no connection of the time before is open',
  'drills-refused': 'every drill was refused and the good handshake passed',
  'weakening-over': 'the end date of the weakening has passed',
  'person-decided': 'a person decided it',
  // What holds.
  paused: 'the rollout is paused',
  soaking: 'the window is not over',
  settling: 'the wave has just switched',
  'endpoint-without-proxy': 'no proxy serves the endpoint',
  'caller-without-proxy': 'the caller has no proxy',
  'not-acknowledged': 'a proxy has not acknowledged its settings',
  'settings-refused': 'a proxy refused its settings',
  'proxy-silent': 'a proxy has not reported of late',
  'path-not-ready': 'a path of the endpoint has not come so far',
  'path-weakened': 'a person weakened the path until a date',
  'path-rolled-back': 'the path was rolled back and waits for a person to say retry',
  'exception-open': 'an exception with an owner and an end date covers the path',
  'plaintext-seen': "the caller's proxies spoke plaintext in the window",
  'plaintext-open': 'plaintext connections are open',
  'too-few-calls': 'fewer calls over mutual TLS than the rollout asks for',
  'calls-unverified': 'the caller sent more calls over mutual TLS than the receivers could verify',
  'would-refuse': 'enforcement would refuse this caller',
  stranger: 'a proved identity that is no allowed caller',
  'unattributed-anonymous': 'anonymous traffic that no declared caller sent',
  'caller-failures': "calls failed, as the caller's own proxies report",
  'failures-everywhere': 'calls fail as often outside of the wave',
  draining: 'connections of the time before are open',
  'drain-overdue': 'connections of the time before are open past the deadline',
  'drills-pending': 'the drills have not all been run and judged',
  'drill-failed': 'a drill was not refused as it must be, or the good handshake did not pass',
  // What rolls back, besides caller-failures.
  'good-caller-refused': 'a receiver refused a verified identity that the plan had counted as good',
} as const;

export type ReasonCode = keyof typeof reasonCodes;

/** One reason, with what it is about. Identifiers and counts only: text from outside is never part of it but for proved SPIFFE IDs. */
export type Reason = {
  readonly code: ReasonCode;
  readonly pathId?: EntityId<'path'>;
  readonly endpointId?: EntityId<'endpoint'>;
  readonly proxyId?: EntityId<'proxy'>;
  /** A proved SPIFFE ID. */
  readonly caller?: string;
  readonly refusal?: RefusalReason;
  readonly count?: number;
  /** Of how many, where a share is told. */
  readonly total?: number;
  readonly firstSeenAt?: Instant;
  readonly lastSeenAt?: Instant;
  readonly until?: Instant;
  readonly detail?: string;
};

/** What makes two reasons the same hold: code and subject, not counts and times. Holds nothing that an unauthenticated peer can vary. */
export function reasonKey(reason: Reason): string {
  return [reason.code, reason.pathId, reason.endpointId, reason.proxyId, reason.caller, reason.refusal].map((part) => part ?? '').join('|');
}

/** One sentence for people, without a final period. */
export function describeReason(reason: Reason): string {
  const parts: string[] = [reasonCodes[reason.code]];
  if (reason.caller !== undefined) parts.push(`caller ${reason.caller}`);
  if (reason.refusal !== undefined) parts.push(reason.refusal);
  if (reason.count !== undefined) parts.push(reason.total === undefined ? `${reason.count}` : `${reason.count} of ${reason.total}`);
  if (reason.lastSeenAt !== undefined) parts.push(`last seen ${new Date(reason.lastSeenAt).toISOString()}`);
  if (reason.until !== undefined) parts.push(`until ${new Date(reason.until).toISOString()}`);
  if (reason.detail !== undefined) parts.push(reason.detail);
  if (reason.proxyId !== undefined) parts.push(reason.proxyId);
  if (reason.pathId !== undefined) parts.push(reason.pathId);
  else if (reason.endpointId !== undefined) parts.push(reason.endpointId);
  return parts.join(', ');
}
