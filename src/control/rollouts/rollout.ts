import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Mode } from '../../core/policy/mode.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { PathState } from '../../core/rollout/path-state.ts';
import { defaultRolloutConfig, type RolloutConfig } from '../../core/rollout/rollout-config.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listTargets, type TargetRecord } from '../policies/store.ts';
import { listRollouts, readPathStates, type RolloutRecord } from './store.ts';

/** A target with how far it has come. One that nobody started yet is paused and has no row: `revision` 0. */
export type Rollout = RolloutRecord & {
  readonly mode: Mode;
  readonly config: RolloutConfig;
  /** Null: the target was removed. Nothing advances any more, but weakenings still end on their date. */
  readonly endpoints: TargetRecord['endpoints'] | null;
};

/** All rollouts: of each target, and of targets that are gone but left paths behind. */
export async function readRollouts(queries: Queries): Promise<readonly Rollout[]> {
  const records = new Map((await listRollouts(queries)).map((record) => [record.rolloutId, record]));
  const targets = await listTargets(queries, '*');
  const rollouts = targets.map(({ id, environment, region, name, mode, config, endpoints }): Rollout => {
    const { status = 'paused', lastStepId = null, revision = 0 } = records.get(id) ?? {};
    records.delete(id);
    // A target stored before a condition was invented gets the condition's default.
    return {
      rolloutId: id,
      environment,
      region,
      name,
      status,
      lastStepId,
      revision,
      mode,
      endpoints,
      config: { ...defaultRolloutConfig, ...config },
    };
  });
  const orphans = [...records.values()].map((record): Rollout => ({
    ...record,
    status: 'paused',
    mode: 'observe',
    config: defaultRolloutConfig,
    endpoints: null,
  }));
  return [...rollouts, ...orphans];
}

/** The rollout that a person names. @throws not-found */
export async function requireRollout(
  queries: Queries,
  { environment, name }: { readonly environment: string; readonly name: string },
): Promise<Rollout> {
  const rollouts = await readRollouts(queries);
  const found = rollouts.find((rollout) => rollout.environment === environment && rollout.name === name && rollout.endpoints !== null);
  if (found !== undefined) return found;
  throw new Problem(
    'not-found',
    `Cannot find rollout: ${JSON.stringify(name.slice(0, 200))} in ${JSON.stringify(environment.slice(0, 200))}, expected the name of a target`,
  );
}

/** The states of an environment's paths and whose each endpoint is. */
export type Ownership = {
  readonly states: readonly PathState[];
  readonly ownerOf: (endpointId: EntityId<'endpoint'>) => EntityId<'rollout'> | null;
};

/**
 * An endpoint belongs to one rollout: of the targets that name it the oldest, else the oldest target of all endpoints, else the
 * rollout that last moved a path of it.
 */
export async function readOwnership(queries: Queries, environment: string, rollouts: readonly Rollout[]): Promise<Ownership> {
  const stored = await readPathStates(queries, environment);
  const here = rollouts.filter((rollout) => rollout.environment === environment).toSorted((a, b) => (a.rolloutId < b.rolloutId ? -1 : 1));
  const named = new Map<EntityId<'endpoint'>, EntityId<'rollout'>>();
  for (const { rolloutId, endpoints } of here.toReversed()) {
    if (endpoints !== null && endpoints !== 'all') for (const endpointId of endpoints) named.set(endpointId, rolloutId);
  }
  const general = here.find(({ endpoints }) => endpoints === 'all')?.rolloutId ?? null;
  const last = new Map(stored.map(({ rolloutId, state }) => [state.endpointId, rolloutId]));
  return {
    states: stored.map(({ state }) => state),
    ownerOf: (endpointId) => named.get(endpointId) ?? general ?? last.get(endpointId) ?? null,
  };
}

/** The error of a change that met another one. */
export function changedMeanwhile(name: string): Problem {
  return new Problem('state-conflict', `Cannot change rollout: ${name} has changed since it was read, expected nobody else to change it`);
}
