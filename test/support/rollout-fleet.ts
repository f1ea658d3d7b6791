import type { DrillVerdict } from '../../src/core/findings/judge-drill.ts';
import { drillReasons, type DrillRunKind, POSITIVE_DRILL } from '../../src/core/findings/drill-kind.ts';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import type { SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import type { PathState } from '../../src/core/rollout/path-state.ts';
import { defaultRolloutConfig, type RolloutConfig } from '../../src/core/rollout/rollout-config.ts';
import type {
  EndpointCounts,
  EndpointFacts,
  PathCounts,
  PathFacts,
  ProxyFacts,
  RolloutFacts,
  RolloutState,
  Tally,
  TelemetryWindow,
} from '../../src/core/rollout/rollout-facts.ts';
import type { Instant } from '../../src/core/time/instant.ts';

/** Short windows, so that tests read in seconds. */
export const quickConfig: RolloutConfig = {
  ...defaultRolloutConfig,
  soakMs: 10_000,
  settleMs: 2_000,
  lagMs: 1_000,
  minCalls: 10,
  silentMs: 5_000,
  drainMs: 5_000,
};

/** What one path's telemetry says in every window; tests change it at will. */
export type PathTraffic = {
  mtls: number;
  plaintext: number;
  openPlaintext: number;
  failed: Tally[];
  /** Of `mtls`, how many the receivers verified. */
  verified: number;
  wouldRefuse: Tally[];
  refused: Tally[];
};

export type EndpointTraffic = { openAnonymous: number } & { -readonly [Key in keyof EndpointCounts]: EndpointCounts[Key][number][] };

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/**
 * A fleet whose facts a test can bend: shop calls orders, shop and orders call payments (critical). Everything is healthy, acknowledged
 * and quiet until the test says otherwise.
 */
export class RolloutFleet {
  readonly proxies = new Map<string, Mutable<ProxyFacts>>();
  readonly paths: Mutable<PathFacts>[] = [];
  readonly endpoints: Mutable<EndpointFacts>[] = [];
  readonly traffic = new Map<EntityId<'path'>, PathTraffic>();
  readonly foreign = new Map<EntityId<'endpoint'>, EndpointTraffic>();
  /** In the windows of waves only: what happened before the wave moved. */
  readonly before = new Map<EntityId<'path'>, PathTraffic>();

  constructor() {
    this.addEndpoint('orders', 'standard');
    this.addEndpoint('payments', 'critical');
    this.addPath('shop', 'orders');
    this.addPath('shop', 'payments');
    this.addPath('orders', 'payments');
  }

  addEndpoint(service: string, tier: 'critical' | 'standard'): Mutable<EndpointFacts> {
    const endpoint: Mutable<EndpointFacts> = {
      endpointId: `endpoint_${service}`,
      serviceId: `service_${service}`,
      tier,
      unit: 'call',
      receivers: [this.#proxy(service)],
      openAnonymous: 0,
      exceptions: [],
      drills: null,
    };
    this.endpoints.push(endpoint);
    this.foreign.set(endpoint.endpointId, { openAnonymous: 0, anonymous: [], anonymousRefused: [], excepted: [], strangers: [] });
    return endpoint;
  }

  addPath(caller: string, callee: string): Mutable<PathFacts> {
    const path: Mutable<PathFacts> = {
      pathId: `path_${caller}-${callee}`,
      endpointId: `endpoint_${callee}`,
      callerServiceId: `service_${caller}`,
      caller: `spiffe://acme/prod/${caller}` as SpiffeId,
      protection: 'mutual',
      callerIs: 'ours',
      exception: null,
      callerSuspended: false,
      callerProxies: [this.#proxy(caller)],
      openPlaintext: 0,
    };
    this.paths.push(path);
    this.traffic.set(path.pathId, this.makeTraffic({ mtls: 100 }));
    return path;
  }

  makeTraffic(given: Partial<PathTraffic>): PathTraffic {
    return { mtls: 0, plaintext: 0, openPlaintext: 0, failed: [], verified: given.mtls ?? 0, wouldRefuse: [], refused: [], ...given };
  }

  #proxy(service: string): Mutable<ProxyFacts> {
    const known = this.proxies.get(service);
    if (known !== undefined) return known;
    const made: Mutable<ProxyFacts> = { proxyId: `proxy_${service}`, delivery: { kind: 'acknowledged' }, lastReportAt: 0 };
    this.proxies.set(service, made);
    return made;
  }

  path(caller: string, callee: string): Mutable<PathFacts> {
    return this.paths.find(({ pathId }) => pathId === `path_${caller}-${callee}`)!;
  }

  trafficOf(caller: string, callee: string): PathTraffic {
    return this.traffic.get(`path_${caller}-${callee}`)!;
  }

  endpoint(service: string): Mutable<EndpointFacts> {
    return this.endpoints.find(({ endpointId }) => endpointId === `endpoint_${service}`)!;
  }

  /** Every proxy reports now, unless a test took it out of `reporting`. */
  readonly silent = new Set<string>();

  drillAll(startedAt: Instant, change: Partial<Record<DrillRunKind, DrillVerdict>> = {}): void {
    const kinds = [POSITIVE_DRILL, ...Object.keys(drillReasons)] as DrillRunKind[];
    const verdicts = new Map(kinds.map((kind) => [kind, change[kind] ?? ({ kind: 'proven' } as const)]));
    for (const endpoint of this.endpoints) endpoint.drills = { startedAt, verdicts };
  }

  facts(now: Instant): RolloutFacts {
    for (const [service, proxy] of this.proxies) if (!this.silent.has(service)) proxy.lastReportAt = now;
    const window = this.#window(now, this.traffic);
    const flight = { flight: window, baseline: this.#window(now, this.before) };
    return {
      paths: this.paths.map((path) => ({ ...path, openPlaintext: this.traffic.get(path.pathId)?.openPlaintext ?? 0 })),
      endpoints: this.endpoints.map((endpoint) => ({ ...endpoint, openAnonymous: this.foreign.get(endpoint.endpointId)!.openAnonymous })),
      soak: window,
      recent: window,
      originating: flight,
      enforcing: flight,
    };
  }

  #window(now: Instant, traffic: ReadonlyMap<EntityId<'path'>, PathTraffic>): TelemetryWindow {
    const paths = new Map([...traffic].map(([pathId, item]) => [pathId, toCounts(now, item)]));
    return { from: now - 10_000, to: now, paths, endpoints: this.foreign };
  }

  /** All paths in their first stage, without waves. */
  initialState(change: Partial<RolloutState> = {}): RolloutState {
    return {
      rolloutId: 'rollout_1',
      status: 'running',
      target: 'enforce',
      config: quickConfig,
      lastStepId: null,
      paths: this.paths.map((path) => initialPath(path)),
      ...change,
    };
  }
}

export function initialPath(
  { pathId, endpointId, caller }: Pick<PathFacts, 'pathId' | 'endpointId' | 'caller'>,
  change: Partial<PathState> = {},
): PathState {
  return {
    pathId,
    endpointId,
    caller,
    wave: null,
    stage: 'observe',
    since: 0,
    settledAt: null,
    latchedAt: null,
    weakening: null,
    setback: null,
    ...change,
  };
}

export function tally(reason: Tally['reason'], count: number, change: Partial<Tally> = {}): Tally {
  return { unit: 'call', channel: 'mtls', reason, count, firstSeenAt: 1_000, lastSeenAt: 2_000, ...change };
}

function toCounts(now: Instant, item: PathTraffic): PathCounts {
  const nothing = { sent: { plaintext: 0, tls: 0, mtls: 0 }, lastPlaintextAt: null, failed: [] };
  return {
    caller: {
      call: {
        sent: { plaintext: item.plaintext, tls: 0, mtls: item.mtls },
        lastPlaintextAt: item.plaintext > 0 ? now : null,
        failed: item.failed.filter(({ unit }) => unit === 'call'),
      },
      connection: { ...nothing, failed: item.failed.filter(({ unit }) => unit === 'connection') },
    },
    receiver: { verified: { call: item.verified, connection: 0 }, wouldRefuse: item.wouldRefuse, refused: item.refused },
  };
}
