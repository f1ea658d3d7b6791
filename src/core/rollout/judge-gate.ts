import type { RefusalReason } from '../tls/refusal-reason.ts';
import { type Instant, SECOND_MS } from '../time/instant.ts';
import { judgeCallers, judgeReceivers } from './judge-proxies.ts';
import { isEnforced, isEarlierStage, type PathState } from './path-state.ts';
import type { Reason, ReasonCode } from './reason.ts';
import type { RolloutConfig } from './rollout-config.ts';
import {
  type EndpointFacts,
  endpointCountsOf,
  type PathFacts,
  pathCountsOf,
  type RolloutFacts,
  type Tally,
  type TelemetryWindow,
} from './rollout-facts.ts';
import { type EndpointView, isUnwanted } from './rollout-view.ts';

/**
 * Why the endpoint may not be enforced yet; empty is green. An endpoint is enforced as a whole: what an anonymous peer meets
 * is the weakest mode over all its paths, so one path that is not ready holds all of them, and is named.
 */
export function judgeGate(now: Instant, view: EndpointView, config: RolloutConfig, facts: RolloutFacts): readonly Reason[] {
  const { endpoint, paths } = view;
  const ofPaths = paths.flatMap(({ state, facts: path, unwanted }) => {
    if (unwanted) return [];
    const standing = judgeStanding(now, state, path, config);
    // What a path that has not switched sends is expected; its standing says enough.
    if (standing.length > 0 && standing[0]!.code !== 'soaking') return standing;
    // While the window reaches back to before the switch, its sums mean nothing; who would be refused is worth knowing at once.
    if (standing.length > 0) return [...standing, ...judgeCallers(now, path, config), ...judgeWouldRefuse(path, facts.soak)];
    return [...standing, ...judgeCallers(now, path, config), ...judgeTraffic(path, endpoint, config, facts.soak)];
  });
  return [
    ...judgeReceivers(now, endpoint, config),
    ...ofPaths,
    ...judgeStrangers(endpoint, config, facts.soak),
    // Before all have switched for a whole window, what is anonymous may well be theirs.
    ...(ofPaths.some(({ code }) => unsettled.has(code)) ? [] : judgeUnattributed(view, config, facts.soak)),
  ];
}

/** What the path's own story says. */
function judgeStanding(now: Instant, state: PathState, path: PathFacts, config: RolloutConfig): Reason[] {
  const { pathId, endpointId, caller } = path;
  if (path.exception !== null && path.exception.until > now) {
    return [{ code: 'exception-open', pathId, endpointId, caller, until: path.exception.until, detail: `owner ${path.exception.owner}` }];
  }
  if (state.setback !== null) return [{ code: 'path-rolled-back', pathId, endpointId, caller, firstSeenAt: state.setback.at }];
  if (state.weakening !== null) return [{ code: 'path-weakened', pathId, endpointId, caller, until: state.weakening.until }];
  if (isEarlierStage(state.stage, 'originate')) return [{ code: 'path-not-ready', pathId, endpointId, caller, detail: state.stage }];
  if (isEnforced(state.stage)) return [];
  if (state.settledAt === null) return [{ code: 'path-not-ready', pathId, endpointId, caller, detail: 'its wave is being judged' }];
  const until = soakedAt(state, config);
  return now < until ? [{ code: 'soaking', pathId, endpointId, caller, until }] : [];
}

/** When the soak window no longer reaches back to the time before the path switched. */
export function soakedAt(state: PathState, config: RolloutConfig): Instant {
  return state.since + config.soakMs + config.lagMs + EDGE_MS;
}

/** What both ends counted of the path over the window. Of a suspended caller nothing is expected but to be refused. */
function judgeTraffic(path: PathFacts, endpoint: EndpointFacts, config: RolloutConfig, window: TelemetryWindow): Reason[] {
  if (path.callerSuspended) return [];
  return [...judgeCallerWindow(path, endpoint, config, window), ...judgeVerified(path, endpoint, window)];
}

/** What the caller's own proxies sent over the window. */
function judgeCallerWindow(path: PathFacts, endpoint: EndpointFacts, config: RolloutConfig, window: TelemetryWindow): Reason[] {
  const { pathId, endpointId, caller } = path;
  const { caller: counts, receiver } = pathCountsOf(window, pathId);
  const reasons: Reason[] = [];
  const plaintext = countPlaintext(path, window);
  if (plaintext.count > 0) reasons.push({ code: 'plaintext-seen', pathId, endpointId, caller, ...plaintext });
  if (path.openPlaintext > 0) reasons.push({ code: 'plaintext-open', pathId, endpointId, caller, count: path.openPlaintext });
  const { sent, failed } = counts[endpoint.unit];
  // Of a caller of another trust domain nobody but the receivers tells.
  const seen = path.callerIs === 'foreign' ? receiver.verified[endpoint.unit] : sent.mtls;
  if (seen < config.minCalls) {
    reasons.push({ code: 'too-few-calls', pathId, endpointId, caller, count: seen, total: config.minCalls });
  }
  const failures = sumTallies(failed);
  const total = sent.plaintext + sent.tls + sent.mtls + failures;
  if (failures >= config.minFailures && failures > total * config.maxFailureRate) {
    reasons.push({ code: 'caller-failures', pathId, endpointId, caller, count: failures, total });
  }
  return reasons;
}

/** Who is declared and would be refused all the same. */
function judgeWouldRefuse({ pathId, endpointId, caller, callerSuspended }: PathFacts, window: TelemetryWindow): Reason[] {
  if (callerSuspended) return [];
  const refusals = pathCountsOf(window, pathId).receiver.wouldRefuse.filter(({ reason }) => !intendedRefusals.has(reason));
  return sumByReason(refusals).map(({ reason, count, lastSeenAt }) => ({
    code: 'would-refuse',
    pathId,
    endpointId,
    caller,
    refusal: reason,
    count,
    lastSeenAt,
  }));
}

/** What the receivers made of this caller: all that it sent must have been verified with the trust that will be enforced. */
function judgeVerified(path: PathFacts, endpoint: EndpointFacts, window: TelemetryWindow): Reason[] {
  const { pathId, endpointId, caller } = path;
  const { caller: sender, receiver } = pathCountsOf(window, pathId);
  const reasons = judgeWouldRefuse(path, window);
  if (reasons.length > 0) return reasons;
  const sent = sender[endpoint.unit].sent.mtls;
  const unverified = sent - receiver.verified[endpoint.unit];
  if (unverified > Math.max(UNVERIFIED_CALLS, sent * UNVERIFIED_SHARE)) {
    reasons.push({ code: 'calls-unverified', pathId, endpointId, caller, count: unverified, total: sent });
  }
  return reasons;
}

function judgeStrangers(endpoint: EndpointFacts, config: RolloutConfig, window: TelemetryWindow): Reason[] {
  return endpointCountsOf(window, endpoint.endpointId)
    .strangers.filter(({ caller, reason }) => !intendedRefusals.has(reason) && !isUnwanted(config, endpoint.endpointId, caller))
    .map(({ caller, reason, count, lastSeenAt }): Reason => ({
      code: 'stranger',
      endpointId: endpoint.endpointId,
      caller,
      refusal: reason,
      count,
      lastSeenAt,
    }));
}

/**
 * Anonymous traffic holds the gate, as it must, while a declared caller may have sent it. Once every caller's own proxies show
 * that they sent none, nobody declared did, and an impostor would hold the gate for ever: then the rollout's `unattributed` decides.
 */
function judgeUnattributed(view: EndpointView, config: RolloutConfig, window: TelemetryWindow): Reason[] {
  const anonymous = anonymousOf(view, window);
  if (anonymous.count === 0 || anonymous.attributable || config.unattributed === 'refuse') return [];
  const { endpointId } = view.endpoint;
  const when = anonymous.lastSeenAt === null ? {} : { lastSeenAt: anonymous.lastSeenAt };
  return [{ code: 'unattributed-anonymous', endpointId, count: anonymous.count, ...when }];
}

/** The anonymous traffic of an endpoint in the window that no exception covers, and whether a declared caller may have sent it. */
export function anonymousOf(
  { endpoint, paths }: EndpointView,
  window: TelemetryWindow,
): { readonly count: number; readonly lastSeenAt: Instant | null; readonly attributable: boolean } {
  const { anonymous, excepted } = endpointCountsOf(window, endpoint.endpointId);
  // What an exception covered that is over by now would be refused like anything else.
  const current = new Set(endpoint.exceptions.map(({ name }) => name));
  const uncovered = excepted.filter(({ exception }) => !current.has(exception));
  const seen = [...anonymous.filter(({ reason }) => !intendedRefusals.has(reason)), ...uncovered];
  return {
    count: Math.max(sumUnit(seen, 'call'), sumUnit(seen, 'connection'), endpoint.openAnonymous),
    lastSeenAt: latest(seen),
    attributable: paths.some(
      ({ facts: path, unwanted }) => !unwanted && (path.openPlaintext > 0 || countPlaintext(path, window).count > 0),
    ),
  };
}

/** Plaintext and one-way TLS that the caller's own proxies sent on this path. */
export function countPlaintext(path: PathFacts, window: TelemetryWindow): { readonly count: number; readonly lastSeenAt?: Instant } {
  const { call, connection } = pathCountsOf(window, path.pathId).caller;
  const count = Math.max(call.sent.plaintext + call.sent.tls, connection.sent.plaintext + connection.sent.tls);
  const lastSeenAt = Math.max(call.lastPlaintextAt ?? 0, connection.lastPlaintextAt ?? 0);
  return lastSeenAt === 0 ? { count } : { count, lastSeenAt };
}

export function sumTallies(tallies: readonly Tally[]): number {
  return tallies.reduce((sum, { count }) => sum + count, 0);
}

function sumUnit(tallies: readonly Tally[], unit: Tally['unit']): number {
  return sumTallies(tallies.filter((tally) => tally.unit === unit));
}

function latest(tallies: readonly Tally[]): Instant | null {
  return tallies.length === 0 ? null : Math.max(...tallies.map(({ lastSeenAt }) => lastSeenAt));
}

/** One tally per reason; calls and connections of one reason tell of the same thing, so the larger counts. */
export function sumByReason(tallies: readonly Tally[]): readonly Tally[] {
  const byReason = new Map<RefusalReason, Tally[]>();
  for (const tally of tallies) byReason.set(tally.reason, [...(byReason.get(tally.reason) ?? []), tally]);
  return [...byReason.values()].map((same) => ({
    ...same[0]!,
    count: Math.max(sumUnit(same, 'call'), sumUnit(same, 'connection')),
    firstSeenAt: Math.min(...same.map(({ firstSeenAt }) => firstSeenAt)),
    lastSeenAt: Math.max(...same.map(({ lastSeenAt }) => lastSeenAt)),
  }));
}

/** What is refused because somebody revoked or suspended it: that enforcement will do so is the purpose, not a surprise. */
export const intendedRefusals: ReadonlySet<RefusalReason> = new Set(['revoked', 'suspended']);

/** Reasons that hold by themselves, while it cannot be told yet whose the anonymous traffic is. */
const unsettled: ReadonlySet<ReasonCode> = new Set(['path-not-ready', 'soaking']);
/** What was sent just before the path switched may be counted, by the other end, in the seconds after; the window must not reach back to it. */
const EDGE_MS = 2 * SECOND_MS;
/** The two ends count in their own seconds: a call at the edge of the window may be in one count only. */
const UNVERIFIED_CALLS = 2;
const UNVERIFIED_SHARE = 0.01;
