import type { DrillVerdict } from '../findings/judge-drill.ts';
import type { DrillRunKind } from '../findings/drill-kind.ts';
import type { EntityId } from '../ids/entity-id.ts';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { AnonymousKind } from '../policy/exception-kind.ts';
import type { Mode } from '../policy/mode.ts';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import type { PathState } from './path-state.ts';
import type { RolloutConfig } from './rollout-config.ts';

/** What the rollout decided so far. */
export type RolloutState = {
  readonly rolloutId: EntityId<'rollout'>;
  readonly status: 'running' | 'paused';
  /** How far its paths shall come: `permissive` is everybody on mutual TLS and nothing refused. It never loosens what is past it. */
  readonly target: Mode;
  readonly config: RolloutConfig;
  /** The parent of the next step. */
  readonly lastStepId: EntityId<'step'> | null;
  readonly paths: readonly PathState[];
};

/** What was measured and acknowledged. Everything in here comes from authenticated proxies, inventory or scans. */
export type RolloutFacts = {
  readonly paths: readonly PathFacts[];
  readonly endpoints: readonly EndpointFacts[];
  /** The soak window: ends `lagMs` ago and is `soakMs` long. Receivers are read one second wider on both sides. */
  readonly soak: TelemetryWindow;
  /** The last half minute, for paths that switched long ago. */
  readonly recent: TelemetryWindow;
  /** Since the originating wave switched, and as long again before it (null: no such wave). */
  readonly originating: FlightWindows | null;
  readonly enforcing: FlightWindows | null;
};

export type FlightWindows = { readonly flight: TelemetryWindow; readonly baseline: TelemetryWindow };

export type ProxyFacts = {
  readonly proxyId: EntityId<'proxy'>;
  readonly delivery:
    | { readonly kind: 'acknowledged' }
    | { readonly kind: 'pending' }
    | { readonly kind: 'refused'; readonly detail: string };
  readonly lastReportAt: Instant | null;
};

export type PathFacts = {
  readonly pathId: EntityId<'path'>;
  readonly endpointId: EntityId<'endpoint'>;
  readonly callerServiceId: EntityId<'service'>;
  readonly caller: SpiffeId;
  /** `one-way`: TLS to a server outside of the trust domain; `federated`: mutual TLS to one of another. Both are counted, shown, never staged. */
  readonly protection: 'mutual' | 'one-way' | 'federated';
  /** `foreign`: of another trust domain, so no proxy of ours switches it, and the receivers alone count it. */
  readonly callerIs: 'ours' | 'foreign';
  readonly exception: { readonly owner: string; readonly until: Instant } | null;
  readonly callerSuspended: boolean;
  readonly callerProxies: readonly ProxyFacts[];
  /** Open plaintext connections on this path, as the caller's proxies last reported. */
  readonly openPlaintext: number;
};

export type EndpointFacts = {
  readonly endpointId: EntityId<'endpoint'>;
  readonly serviceId: EntityId<'service'>;
  readonly tier: 'critical' | 'standard';
  /** What is counted as one use of the endpoint. */
  readonly unit: Unit;
  readonly receivers: readonly ProxyFacts[];
  /** Open accepted connections without a proved caller and without an exception, as the receivers last reported. */
  readonly openAnonymous: number;
  /** Who may come without a certificate all the same. */
  readonly exceptions: readonly EndpointException[];
  readonly drills: DrillFacts | null;
};

export type EndpointException = { readonly name: string; readonly kind: AnonymousKind; readonly owner: string; readonly until: Instant };

/** The latest drill run of an endpoint. */
export type DrillFacts = {
  /** When the run was ordered; only a run ordered after the drain proves anything. */
  readonly startedAt: Instant;
  /** `positive` and every kind that must be refused. */
  readonly verdicts: ReadonlyMap<DrillRunKind, DrillVerdict>;
};

export type Unit = 'call' | 'connection';
export type Channel = 'plaintext' | 'tls' | 'mtls';

export type TelemetryWindow = {
  readonly from: Instant;
  readonly to: Instant;
  readonly paths: ReadonlyMap<EntityId<'path'>, PathCounts>;
  readonly endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointCounts>;
};

export type PathCounts = {
  /** As the caller's own proxies report. */
  readonly caller: { readonly [unit in Unit]: CallerCounts };
  /** As the receivers report of this proved caller. */
  readonly receiver: ReceiverCounts;
};

export type CallerCounts = {
  /** Not failed, by channel. */
  readonly sent: { readonly [channel in Channel]: number };
  readonly lastPlaintextAt: Instant | null;
  readonly failed: readonly Tally[];
};

export type ReceiverCounts = {
  /** Accepted over mutual TLS, and enforcement would accept it too. */
  readonly verified: { readonly [unit in Unit]: number };
  readonly wouldRefuse: readonly Tally[];
  readonly refused: readonly Tally[];
};

export type EndpointCounts = {
  /** Accepted although nobody proved an identity. */
  readonly anonymous: readonly Tally[];
  readonly anonymousRefused: readonly Tally[];
  /** The same, but that an exception of this name covered it. */
  readonly excepted: readonly (Tally & { readonly exception: string })[];
  /** Proved identities that are in no rule. */
  readonly strangers: readonly (Tally & { readonly caller: string })[];
};

/** So many of one reason. */
export type Tally = {
  readonly unit: Unit;
  readonly channel: Channel;
  readonly reason: RefusalReason;
  readonly count: number;
  readonly firstSeenAt: Instant;
  readonly lastSeenAt: Instant;
};

const noCaller: CallerCounts = { sent: { plaintext: 0, tls: 0, mtls: 0 }, lastPlaintextAt: null, failed: [] };
/** A path of which the window saw nothing. */
export const noPathCounts: PathCounts = {
  caller: { call: noCaller, connection: noCaller },
  receiver: { verified: { call: 0, connection: 0 }, wouldRefuse: [], refused: [] },
};
/** An endpoint of which the window saw nothing. */
export const noEndpointCounts: EndpointCounts = { anonymous: [], anonymousRefused: [], excepted: [], strangers: [] };

export function pathCountsOf(window: TelemetryWindow, pathId: EntityId<'path'>): PathCounts {
  return window.paths.get(pathId) ?? noPathCounts;
}

export function endpointCountsOf(window: TelemetryWindow, endpointId: EntityId<'endpoint'>): EndpointCounts {
  return window.endpoints.get(endpointId) ?? noEndpointCounts;
}
