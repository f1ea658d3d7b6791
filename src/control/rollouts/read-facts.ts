import type { EntityId } from '../../core/ids/entity-id.ts';
import { soakedAt } from '../../core/rollout/judge-gate.ts';
import type { PathState } from '../../core/rollout/path-state.ts';
import type {
  EndpointFacts,
  FlightWindows,
  ProxyFacts,
  RolloutFacts,
  RolloutState,
  TelemetryWindow,
} from '../../core/rollout/rollout-facts.ts';
import { flightStarts } from '../../core/rollout/rollout-view.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { bucketOf, readLatestReports, readOpenConnections, readWindow, type WindowRow } from '../telemetry/read-telemetry.ts';
import type { OpenRow } from '../telemetry/store.ts';
import { buildWindow, indexPaths, type PathIndex } from './build-window.ts';
import type { FleetFacts } from '../fleet/read-fleet.ts';
import type { FleetPort } from './fleet-port.ts';
import type { Ownership, Rollout } from './rollout.ts';

/**
 * State and facts of one rollout as of now, read by a number of queries that does not grow with the fleet.
 * Telemetry of all environments is read: a caller may be of another one than the endpoint.
 */
export async function readRolloutFacts(
  queries: Queries,
  fleet: FleetPort,
  { rollout, ownership, purpose }: { readonly rollout: Rollout; readonly ownership: Ownership; readonly purpose: 'plan' | 'explain' },
  now: Instant,
): Promise<{ readonly state: RolloutState; readonly facts: RolloutFacts }> {
  const { environment, config } = rollout;
  const known = await fleet.readFleet(queries, environment, now);
  const state: RolloutState = {
    rolloutId: rollout.rolloutId,
    status: rollout.status,
    target: rollout.mode,
    config,
    lastStepId: rollout.lastStepId,
    paths: completeStates(ownership.states, known, now).filter(({ endpointId }) => ownership.ownerOf(endpointId) === rollout.rolloutId),
  };
  const index = indexPaths(known.paths);
  const proxies = await readProxies(queries, known);
  const open = groupOpen(await readOpenConnections(queries, '*'), index, known);
  const suspended = await fleet.readSuspended(queries, environment);
  const drills = await fleet.readDrills(queries, environment);
  const starts = flightStarts(state);
  const recent = await read(queries, index, { from: now - RECENT_MS, to: now + 1 });
  const facts: RolloutFacts = {
    paths: known.paths.map((path) => ({
      ...path,
      callerSuspended: suspended.has(path.caller),
      callerProxies: path.callerProxies.map((proxyId) => proxies.get(proxyId)!),
      openPlaintext: open.paths.get(path.pathId) ?? 0,
    })),
    endpoints: known.endpoints.map((endpoint): EndpointFacts => ({
      ...endpoint,
      receivers: endpoint.receivers.map((proxyId) => proxies.get(proxyId)!),
      openAnonymous: open.endpoints.get(endpoint.endpointId) ?? 0,
      drills: drills.get(endpoint.endpointId) ?? null,
    })),
    soak: purpose === 'explain' || mayEnforce(state, now) ? await readSoak(queries, index, rollout, now) : recent,
    recent,
    originating: await readFlight(queries, index, starts.originating, now),
    enforcing: await readFlight(queries, index, starts.enforcing, now),
  };
  return { state, facts };
}

/**
 * The soak window may be days long, and is asked for only when some path has soaked: before that the gate holds whatever it says,
 * and the last half minute is enough to name what else holds.
 */
function mayEnforce({ paths, config }: RolloutState, now: Instant): boolean {
  return paths.some((path) => path.stage === 'originate' && now >= soakedAt(path, config));
}

/** A path that inventory has and the rollout has not met yet is in observe. */
function completeStates(stored: readonly PathState[], known: FleetFacts, now: Instant): readonly PathState[] {
  const met = new Set(stored.map(({ pathId }) => pathId));
  const fresh = known.paths
    .filter(({ pathId, protection }) => !met.has(pathId) && protection === 'mutual')
    .map(({ pathId, endpointId, caller }): PathState => ({
      pathId,
      endpointId,
      caller,
      wave: null,
      stage: 'observe',
      since: now,
      settledAt: null,
      latchedAt: null,
      weakening: null,
      setback: null,
    }));
  return [...stored, ...fresh];
}

async function readProxies(queries: Queries, known: FleetFacts): Promise<ReadonlyMap<EntityId<'proxy'>, ProxyFacts>> {
  const reports = await readLatestReports(queries, '*');
  const named = [...known.paths.flatMap(({ callerProxies }) => callerProxies), ...known.endpoints.flatMap(({ receivers }) => receivers)];
  return new Map(
    named.map((proxyId) => [
      proxyId,
      {
        proxyId,
        // A proxy that fleet knows nothing of has acknowledged nothing.
        delivery: known.deliveries.get(proxyId) ?? { kind: 'pending' },
        lastReportAt: reports.get(proxyId)?.last_report_at ?? null,
      },
    ]),
  );
}

/**
 * The soak window. The two ends count in their own seconds, so receivers are asked for one second more on both sides:
 * then every call that the caller counted is in the receivers' count, if they verified it.
 */
async function readSoak(queries: Queries, index: PathIndex, { config }: Rollout, now: Instant): Promise<TelemetryWindow> {
  const to = bucketOf(now - config.lagMs);
  const from = to - config.soakMs;
  const wide = { scope: '*', from: from - SECOND_MS, to: to + SECOND_MS } as const;
  const receivers = (await readWindow(queries, wide)).filter(({ side }) => side === 'receiver');
  const callers = (await readWindow(queries, { scope: '*', from, to })).filter(({ side }) => side === 'caller');
  return buildWindow(index, { from, to }, [...callers, ...receivers]);
}

async function readFlight(queries: Queries, index: PathIndex, start: Instant | null, now: Instant): Promise<FlightWindows | null> {
  if (start === null) return null;
  const from = bucketOf(start);
  return {
    flight: await read(queries, index, { from, to: now + 1 }),
    baseline: await read(queries, index, { from: from - Math.max(BASELINE_MS, now - start), to: from }),
  };
}

async function read(
  queries: Queries,
  index: PathIndex,
  window: { readonly from: Instant; readonly to: Instant },
): Promise<TelemetryWindow> {
  const rows: readonly WindowRow[] = await readWindow(queries, { scope: '*', ...window });
  return buildWindow(index, window, rows);
}

/** Open connections that proved nobody: of each path as its caller's proxies see it, of each endpoint as its receivers do. */
function groupOpen(
  rows: readonly OpenRow[],
  index: PathIndex,
  known: FleetFacts,
): { readonly paths: ReadonlyMap<EntityId<'path'>, number>; readonly endpoints: ReadonlyMap<EntityId<'endpoint'>, number> } {
  const paths = new Map<EntityId<'path'>, number>();
  const endpoints = new Map<EntityId<'endpoint'>, number>();
  const receivers = new Map(known.endpoints.map((endpoint) => [endpoint.endpointId, new Set(endpoint.receivers)]));
  const callers = new Map(known.paths.map((path) => [path.pathId, new Set(path.callerProxies)]));
  for (const row of rows) {
    if (row.channel === 'passthrough') continue;
    if (row.side === 'caller') {
      const pathId = index.get(`${row.endpoint_id} ${row.caller}`);
      if (pathId === undefined || row.channel === 'mtls' || !callers.get(pathId)?.has(row.proxy_id)) continue;
      paths.set(pathId, (paths.get(pathId) ?? 0) + row.count);
    } else if ((row.caller === '' || row.channel !== 'mtls') && receivers.get(row.endpoint_id)?.has(row.proxy_id)) {
      endpoints.set(row.endpoint_id, (endpoints.get(row.endpoint_id) ?? 0) + row.count);
    }
  }
  return { paths, endpoints };
}

/** What paths are compared with, at least. */
const BASELINE_MS = 10 * SECOND_MS;
const RECENT_MS = 30 * SECOND_MS;
