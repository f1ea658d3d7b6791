import type { EntityId } from '../ids/entity-id.ts';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { anonymousOf, countPlaintext, intendedRefusals, judgeGate, sumByReason, sumTallies } from './judge-gate.ts';
import type { PathStage, Setback, Weakening } from './path-state.ts';
import { isEnforced } from './path-state.ts';
import type { Reason } from './reason.ts';
import {
  type Channel,
  type EndpointException,
  endpointCountsOf,
  pathCountsOf,
  type RolloutFacts,
  type RolloutState,
  type Tally,
} from './rollout-facts.ts';
import { type EndpointView, isUnwanted, type RolloutView, viewRollout } from './rollout-view.ts';

/** Who would be refused if the endpoint were enforced now, why, and who still speaks plaintext. */
export type RolloutPlan = {
  /** The window that the counts are of. */
  readonly from: Instant;
  readonly to: Instant;
  readonly endpoints: readonly EndpointPlan[];
  readonly paths: readonly PathPlan[];
};

export type EndpointPlan = {
  readonly endpointId: EntityId<'endpoint'>;
  /** What holds enforcement; empty: it can be enforced, or is. */
  readonly holds: readonly Reason[];
  /** The paths without which nothing would hold it. */
  readonly heldBackBy: readonly EntityId<'path'>[];
  readonly enforced: boolean;
  readonly wouldRefuse: readonly WouldRefuse[];
  /** Anonymous traffic, and whether a declared caller may have sent it. */
  readonly anonymous: {
    readonly count: number;
    readonly lastSeenAt: Instant | null;
    readonly attributable: boolean;
    readonly decided: 'hold' | 'refuse';
  };
  /** What comes without a certificate and stays let in, by exception, and how much of it came. */
  readonly excepted: readonly ExceptedTraffic[];
};

export type ExceptedTraffic = EndpointException & { readonly count: number; readonly lastSeenAt: Instant | null };

export type PathPlan = {
  readonly pathId: EntityId<'path'>;
  readonly endpointId: EntityId<'endpoint'>;
  readonly caller: string;
  readonly protection: 'mutual' | 'one-way' | 'federated';
  readonly wave: number | null;
  readonly stage: PathStage;
  readonly since: Instant | null;
  readonly latchedAt: Instant | null;
  readonly weakening: Weakening | null;
  readonly setback: Setback | null;
  readonly exception: { readonly owner: string; readonly until: Instant } | null;
  readonly holds: readonly Reason[];
  readonly plaintext: { readonly count: number; readonly open: number; readonly lastSeenAt: Instant | null };
  /** Calls (connections for raw TCP) over mutual TLS as the caller counts them, and those that the receivers verified. */
  readonly mtls: { readonly sent: number; readonly verified: number };
  readonly wouldRefuse: readonly WouldRefuse[];
};

export type WouldRefuse = {
  /** The proved identity; null where nothing was proved. */
  readonly caller: string | null;
  readonly channel: Channel;
  readonly reason: RefusalReason;
  readonly count: number;
  readonly lastSeenAt: Instant;
  /** `purpose`: revoked, suspended or marked unwanted; it holds nothing. */
  readonly standing: 'holds' | 'purpose';
};

/** The plan as people read it. Counts come from the soak window; nothing in it is rounded. */
export function explainPlan(now: Instant, state: RolloutState, facts: RolloutFacts): RolloutPlan {
  const view = viewRollout(now, state, facts);
  const endpoints = view.endpoints.map((item) => explainEndpoint(now, item, view));
  const holdsOf = new Map(endpoints.map(({ endpointId, holds }) => [endpointId, holds]));
  return { from: facts.soak.from, to: facts.soak.to, endpoints, paths: explainPaths(state, facts, holdsOf) };
}

function explainEndpoint(now: Instant, item: EndpointView, view: RolloutView): EndpointPlan {
  const { endpoint, paths } = item;
  const enforced = paths.every(({ state }) => isEnforced(state.stage));
  const holds = enforced ? [] : judgeGate(now, item, view.config, view.facts);
  const counts = endpointCountsOf(view.facts.soak, endpoint.endpointId);
  const anonymous = sumByReason(counts.anonymous).map((tally) => describeTally(null, tally, false));
  const strangers = counts.strangers.map((tally) =>
    describeTally(tally.caller, tally, isUnwanted(view.config, endpoint.endpointId, tally.caller)),
  );
  return {
    endpointId: endpoint.endpointId,
    holds,
    heldBackBy: [...new Set(holds.flatMap(({ pathId }) => (pathId === undefined ? [] : [pathId])))],
    enforced,
    wouldRefuse: [...strangers, ...anonymous],
    anonymous: { ...anonymousOf(item, view.facts.soak), decided: view.config.unattributed },
    excepted: endpoint.exceptions.map((exception) => {
      const seen = counts.excepted.filter((tally) => tally.exception === exception.name && tally.unit === endpoint.unit);
      const lastSeenAt = seen.length === 0 ? null : Math.max(...seen.map((tally) => tally.lastSeenAt));
      return { ...exception, count: sumTallies(seen), lastSeenAt };
    }),
  };
}

function explainPaths(
  state: RolloutState,
  facts: RolloutFacts,
  holdsOf: ReadonlyMap<EntityId<'endpoint'>, readonly Reason[]>,
): readonly PathPlan[] {
  const states = new Map(state.paths.map((path) => [path.pathId, path]));
  const units = new Map(facts.endpoints.map(({ endpointId, unit }) => [endpointId, unit]));
  return facts.paths.map((path): PathPlan => {
    const { pathId, endpointId, caller, protection, exception } = path;
    const found = states.get(pathId);
    const counts = pathCountsOf(facts.soak, pathId);
    const unit = units.get(endpointId) ?? 'call';
    const plaintext = countPlaintext(path, facts.soak);
    return {
      pathId,
      endpointId,
      caller,
      protection,
      wave: found?.wave ?? null,
      stage: found?.stage ?? 'observe',
      since: found?.since ?? null,
      latchedAt: found?.latchedAt ?? null,
      weakening: found?.weakening ?? null,
      setback: found?.setback ?? null,
      exception,
      holds: (holdsOf.get(endpointId) ?? []).filter((reason) => reason.pathId === pathId),
      plaintext: { count: plaintext.count, open: path.openPlaintext, lastSeenAt: plaintext.lastSeenAt ?? null },
      mtls: { sent: counts.caller[unit].sent.mtls, verified: counts.receiver.verified[unit] },
      wouldRefuse: sumByReason(counts.receiver.wouldRefuse).map((tally) =>
        describeTally(caller, tally, isUnwanted(state.config, endpointId, caller)),
      ),
    };
  });
}

function describeTally(caller: string | null, { channel, reason, count, lastSeenAt }: Tally, unwanted: boolean): WouldRefuse {
  return { caller, channel, reason, count, lastSeenAt, standing: unwanted || intendedRefusals.has(reason) ? 'purpose' : 'holds' };
}
