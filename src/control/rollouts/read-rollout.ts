import type { EntityId } from '../../core/ids/entity-id.ts';
import { explainPlan, type RolloutPlan } from '../../core/rollout/explain-plan.ts';
import { type PathStage, pathStages } from '../../core/rollout/path-state.ts';
import type { PathState } from '../../core/rollout/path-state.ts';
import type { Reason } from '../../core/rollout/reason.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { FleetPort } from './fleet-port.ts';
import { readRolloutFacts } from './read-facts.ts';
import { readOwnership, readRollouts, requireRollout, type Rollout } from './rollout.ts';
import { type Hold, readHolds, readPathStates, readSteps, type StoredStep } from './store.ts';

export type WaveStatus = {
  readonly wave: number;
  readonly paths: readonly EntityId<'path'>[];
  /** How many paths stand in each stage. */
  readonly stages: { readonly [stage in PathStage]: number };
  readonly originatedAt: Instant | null;
  readonly settledAt: Instant | null;
  readonly provenAt: Instant | null;
};

export type Rollback = {
  readonly stepId: EntityId<'step'>;
  readonly at: Instant;
  readonly wave: number | null;
  readonly paths: readonly EntityId<'path'>[];
  readonly reasons: readonly Reason[];
  /** Start of the second in which the first failure was counted. */
  readonly firstFailureAt: Instant | null;
  readonly retriedAt: Instant | null;
};

export type RolloutStatus = Pick<Rollout, 'rolloutId' | 'name' | 'environment' | 'region' | 'status' | 'mode' | 'config'> & {
  readonly waves: readonly WaveStatus[];
  readonly holds: readonly Hold[];
  readonly rollbacks: readonly Rollback[];
  readonly steps: readonly StoredStep[];
};

/** Where a rollout stands and how it came there: its last steps, newest first. @throws not-found */
export async function readRolloutStatus(
  queries: Queries,
  order: { readonly environment: string; readonly name: string },
): Promise<RolloutStatus> {
  const rollout = await requireRollout(queries, order);
  const { rolloutId, name, environment, region, status, mode, config } = rollout;
  const ownership = await readOwnership(queries, environment, await readRollouts(queries));
  const states = ownership.states.filter(({ endpointId }) => ownership.ownerOf(endpointId) === rolloutId);
  const steps = await readSteps(queries, rolloutId, MAX_STEPS);
  const holds = await readHolds(queries, rolloutId);
  return {
    rolloutId,
    name,
    environment,
    region,
    status,
    mode,
    config,
    waves: describeWaves(states, steps),
    holds,
    rollbacks: describeRollbacks(steps),
    steps,
  };
}

/** Who would be refused by enforcement, path by path, and what holds each endpoint. @throws not-found */
export async function readRolloutPlan(
  deps: { readonly queries: Queries; readonly fleet: FleetPort },
  order: { readonly environment: string; readonly name: string },
  now: Instant,
): Promise<RolloutPlan> {
  const rollout = await requireRollout(deps.queries, order);
  const ownership = await readOwnership(deps.queries, rollout.environment, await readRollouts(deps.queries));
  const { state, facts } = await readRolloutFacts(deps.queries, deps.fleet, { rollout, ownership, purpose: 'explain' }, now);
  return explainPlan(now, state, facts);
}

/** Endpoints that are enforced and drained, and wait for drills that were ordered after that instant. */
export async function readEndpointsAwaitingDrills(
  queries: Queries,
  environment: string,
): Promise<readonly { readonly endpointId: EntityId<'endpoint'>; readonly drainedAt: Instant }[]> {
  const states = (await readPathStates(queries, environment)).map(({ state }) => state);
  const byEndpoint = Map.groupBy(states, ({ endpointId }) => endpointId);
  return [...byEndpoint].flatMap(([endpointId, paths]) => {
    const waiting = paths.filter(({ stage }) => stage === 'enforce');
    const isReady = paths.every(({ stage, settledAt }) => stage === 'proven' || (stage === 'enforce' && settledAt !== null));
    return waiting.length > 0 && isReady ? [{ endpointId, drainedAt: Math.max(...waiting.map(({ settledAt }) => settledAt!)) }] : [];
  });
}

function describeWaves(states: readonly PathState[], steps: readonly StoredStep[]): readonly WaveStatus[] {
  const byWave = Map.groupBy(
    states.filter(({ wave }) => wave !== null),
    ({ wave }) => wave!,
  );
  return [...byWave]
    .toSorted(([a], [b]) => a - b)
    .map(([wave, paths]) => {
      const at = (kind: StoredStep['kind']): Instant | null => steps.find((step) => step.kind === kind && step.wave === wave)?.at ?? null;
      const stages = Object.fromEntries(pathStages.map((stage) => [stage, paths.filter((path) => path.stage === stage).length]));
      const proven = paths.every(({ latchedAt }) => latchedAt !== null);
      return {
        wave,
        paths: paths.map(({ pathId }) => pathId),
        stages: stages as WaveStatus['stages'],
        originatedAt: at('originate'),
        settledAt: at('settle'),
        provenAt: proven ? Math.max(...paths.map(({ latchedAt }) => latchedAt!)) : null,
      };
    });
}

function describeRollbacks(steps: readonly StoredStep[]): readonly Rollback[] {
  return steps
    .filter(({ kind }) => kind === 'roll-back')
    .map(({ stepId, at, wave, moves, reasons }) => {
      const seen = reasons.flatMap(({ firstSeenAt }) => firstSeenAt ?? []);
      const retries = steps.filter((step) => step.kind === 'retry' && step.at >= at).map((step) => step.at);
      return {
        stepId,
        at,
        wave,
        paths: moves.map(({ pathId }) => pathId),
        reasons,
        firstFailureAt: seen.length === 0 ? null : Math.min(...seen),
        retriedAt: retries.length === 0 ? null : Math.min(...retries),
      };
    });
}

const MAX_STEPS = 1_000;
