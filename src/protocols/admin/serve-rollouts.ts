import { listEndpoints, findPath } from '../../control/inventory/store.ts';
import { readRolloutPlan, readRolloutStatus } from '../../control/rollouts/read-rollout.ts';
import type { RolloutDeps } from '../../control/rollouts/reconcile.ts';
import { retryRollout } from '../../control/rollouts/retry-rollout.ts';
import { readRollouts } from '../../control/rollouts/rollout.ts';
import { pauseRollout, startRollout } from '../../control/rollouts/set-status.ts';
import { readPathStates } from '../../control/rollouts/store.ts';
import { weakenPath } from '../../control/rollouts/weaken-path.ts';
import { orderDrills } from '../../control/scans/order-drills.ts';
import { readDrillRun, readLatestDrills } from '../../control/scans/read-drills.ts';
import { readRefusals, readWindow } from '../../control/telemetry/read-telemetry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { isEnforced } from '../../core/rollout/path-state.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import { summarizeCoverage } from './coverage.ts';
import { type Handlers, items, json } from './handler.ts';
import type { rolloutRoutes } from './rollout-routes.ts';

export type RolloutRouteDeps = {
  readonly rollouts: RolloutDeps;
  /** Told when a person changed what the planner works from. */
  readonly rolloutChanged: Signal;
  readonly drillsChanged: Signal;
};

export function rolloutHandlers({ rollouts, rolloutChanged, drillsChanged }: RolloutRouteDeps): Pick<Handlers, keyof typeof rolloutRoutes> {
  const { database, fleet } = rollouts;
  const { queries } = database;
  return {
    'list-rollouts': async ({ scope }) => {
      const all = await readRollouts(queries);
      return items(
        all
          .filter(({ environment, endpoints }) => endpoints !== null && (scope === '*' || scope.includes(environment)))
          .map(({ rolloutId, name, environment, region, status, mode, config }) => ({
            rolloutId,
            name,
            environment,
            region,
            status,
            mode,
            config,
          })),
      );
    },
    'show-rollout': async ({ params, environment }) => json(await readRolloutStatus(queries, { environment, name: params.name })),
    'plan-rollout': async ({ params, environment, now }) =>
      json(await readRolloutPlan({ queries, fleet }, { environment, name: params.name }, now)),
    'start-rollout': async ({ params, body, environment, actor, now }) => {
      await startRollout(rollouts, { environment, name: params.name, reason: body.reason ?? '' }, actor, now);
      rolloutChanged.notify();
      return json({ status: 'running' });
    },
    'pause-rollout': async ({ params, body, environment, actor, now }) => {
      await pauseRollout(rollouts, { environment, name: params.name, reason: body.reason ?? '' }, actor, now);
      return json({ status: 'paused' });
    },
    'retry-rollout': async ({ params, body, environment, actor, now }) => {
      const retried = await retryRollout(rollouts, { environment, name: params.name, reason: body.reason ?? '' }, actor, now);
      rolloutChanged.notify();
      return json(retried);
    },
    'weaken-path': async ({ params, body, demand, actor, now }) => {
      const pathId = params.pathId as EntityId<'path'>;
      const path = await findPath(queries, pathId);
      if (path === null) throw new Problem('not-found', 'Cannot weaken path: there is none of this id');
      demand(path.environment);
      const { to, reason } = body;
      const until = typeof body.until === 'number' ? body.until : Date.parse(body.until);
      return json(await weakenPath(rollouts, { environment: path.environment, pathId, to, until, reason }, actor, now));
    },
    'read-coverage': async ({ query, environment, now }) => {
      const window = windowOf(query, now);
      const facts = await fleet.readFleet(queries, environment, now);
      const states = (await readPathStates(queries, environment)).map(({ state }) => state);
      const counts = await readWindow(queries, { scope: [environment], ...window });
      return json({ environment, ...window, ...summarizeCoverage(facts, states, counts) });
    },
    'list-refusals': async ({ environment }) => items(await readRefusals(queries, { environment, limit: 1_000 })),
    'list-drills': async ({ environment }) => items(await readLatestDrills(queries, environment)),
    'show-drill-run': async ({ params, demand }) => {
      const run = await readDrillRun(queries, params.runId as EntityId<'drill'>);
      const job = run?.jobs[0];
      if (run === null || job === undefined) throw new Problem('not-found', 'Cannot show drill run: there is none of this id');
      demand(job.environment);
      return json(run);
    },
    'order-drills': async ({ body, environment, actor, now }) => {
      const endpoints = await listEndpoints(queries, [environment]);
      const named = endpoints.filter(({ name }) => body.endpoint === undefined || name === body.endpoint);
      if (body.endpoint !== undefined && named.length === 0)
        throw new Problem('not-found', `Cannot order drills: there is no endpoint ${body.endpoint}`);
      const states = (await readPathStates(queries, environment)).map(({ state }) => state);
      const enforced = new Set(
        [...Map.groupBy(states, ({ endpointId }) => endpointId)]
          .filter(([, paths]) => paths.every(({ stage }) => isEnforced(stage)))
          .map(([id]) => id),
      );
      const endpointIds = named.filter(({ id }) => enforced.has(id)).map(({ id }) => id);
      if (endpointIds.length === 0)
        throw new Problem('state-conflict', 'Cannot order drills: no such endpoint is enforced, and only enforce refuses');
      const order = { environment, endpointIds, reason: body.reason ?? '' };
      return json(await orderDrills({ database, changed: drillsChanged }, order, actor, now));
    },
  };
}

/** The last ten seconds if none is named; at most a day. @throws input-invalid */
function windowOf(query: { readonly from?: string; readonly to?: string }, now: Instant): { readonly from: Instant; readonly to: Instant } {
  const to = query.to === undefined ? now : Number(query.to);
  const from = query.from === undefined ? to - USUAL_WINDOW_MS : Number(query.from);
  if (from >= to || to - from > LONGEST_WINDOW_MS) {
    throw new Problem('input-invalid', `Cannot read coverage: a window of ${to - from} ms, expected 1 to ${LONGEST_WINDOW_MS}`);
  }
  return { from, to };
}

const USUAL_WINDOW_MS = 10_000;
const LONGEST_WINDOW_MS = 86_400_000;
