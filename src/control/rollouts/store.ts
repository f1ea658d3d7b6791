import type { EntityId } from '../../core/ids/entity-id.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { PathMove, PathStage, PathState, Setback, Weakening } from '../../core/rollout/path-state.ts';
import type { StepKind } from '../../core/rollout/planned-step.ts';
import { type Reason, reasonKey } from '../../core/rollout/reason.ts';
import { parseRolloutConfig, type RolloutConfig } from '../../core/rollout/rollout-config.ts';
import type { RolloutState } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

type Place = { readonly environment: string; readonly region: string };

/** A rollout without its paths. */
export type Rollout = Place & {
  readonly rolloutId: EntityId<'rollout'>;
  readonly name: string;
  readonly status: RolloutState['status'];
  readonly config: RolloutConfig;
  readonly lastStepId: EntityId<'step'> | null;
  readonly revision: number;
};

export type StoredStep = {
  readonly stepId: EntityId<'step'>;
  readonly rolloutId: EntityId<'rollout'>;
  readonly parent: EntityId<'step'> | null;
  readonly at: Instant;
  readonly kind: StepKind;
  readonly wave: number | null;
  readonly moves: readonly PathMove[];
  readonly reasons: readonly Reason[];
};

export type Hold = { readonly reason: Reason; readonly firstAt: Instant; readonly lastAt: Instant; readonly endedAt: Instant | null };

type RolloutTables = {
  rollouts: Place & {
    readonly id: EntityId<'rollout'>;
    readonly name: string;
    readonly status: RolloutState['status'];
    readonly config: string;
    readonly last_step_id: EntityId<'step'> | null;
    readonly revision: number;
    readonly created_at: number;
  };
  rollout_paths: Place & {
    readonly path_id: EntityId<'path'>;
    readonly rollout_id: EntityId<'rollout'>;
    readonly endpoint_id: EntityId<'endpoint'>;
    readonly caller: SpiffeId;
    readonly wave: number | null;
    readonly stage: PathStage;
    readonly since: number;
    readonly settled_at: number | null;
    readonly latched_at: number | null;
    readonly weakening: string | null;
    readonly setback: string | null;
  };
  rollout_steps: Place & {
    readonly id: EntityId<'step'>;
    readonly rollout_id: EntityId<'rollout'>;
    readonly parent_id: EntityId<'step'> | '';
    readonly at: number;
    readonly kind: StepKind;
    readonly wave: number | null;
    readonly moves: string;
    readonly reasons: string;
  };
  rollout_holds: Place & {
    readonly rollout_id: EntityId<'rollout'>;
    readonly reason_key: string;
    readonly reason: string;
    readonly first_at: number;
    readonly last_at: number;
    readonly ended_at: number | null;
  };
};

export async function readRollouts(queries: Queries): Promise<readonly Rollout[]> {
  return (await tables(queries).selectFrom('rollouts').selectAll().orderBy('id').execute()).map(toRollout);
}

/** The rollout of an environment, or null. */
export async function findRollout(queries: Queries, environment: string): Promise<Rollout | null> {
  const row = await tables(queries).selectFrom('rollouts').selectAll().where('environment', '=', environment).executeTakeFirst();
  return row === undefined ? null : toRollout(row);
}

export async function insertRollout(queries: Queries, rollout: Rollout, now: Instant): Promise<void> {
  const { rolloutId, environment, region, name, status, config, lastStepId, revision } = rollout;
  await tables(queries)
    .insertInto('rollouts')
    .values({
      id: rolloutId,
      environment,
      region,
      name,
      status,
      config: JSON.stringify(config),
      last_step_id: lastStepId,
      revision,
      created_at: now,
    })
    .execute();
}

/** Changes a rollout if it still is as it was read; false if somebody else changed it since. */
export async function updateRollout(
  queries: Queries,
  { rolloutId, revision }: Rollout,
  change: { readonly status?: Rollout['status']; readonly config?: RolloutConfig; readonly lastStepId?: EntityId<'step'> },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('rollouts')
    .set({
      revision: revision + 1,
      ...(change.status === undefined ? {} : { status: change.status }),
      ...(change.config === undefined ? {} : { config: JSON.stringify(change.config) }),
      ...(change.lastStepId === undefined ? {} : { last_step_id: change.lastStepId }),
    })
    .where('id', '=', rolloutId)
    .where('revision', '=', revision)
    .executeTakeFirst();
  return Number(result.numUpdatedRows) === 1;
}

export async function readPathStates(queries: Queries, rolloutId: EntityId<'rollout'>): Promise<readonly PathState[]> {
  const rows = await tables(queries)
    .selectFrom('rollout_paths')
    .selectAll()
    .where('rollout_id', '=', rolloutId)
    .orderBy('path_id')
    .execute();
  return rows.map((row) => ({
    pathId: row.path_id,
    endpointId: row.endpoint_id,
    caller: row.caller,
    wave: row.wave,
    stage: row.stage,
    since: row.since,
    settledAt: row.settled_at,
    latchedAt: row.latched_at,
    weakening: row.weakening === null ? null : (JSON.parse(row.weakening) as Weakening),
    setback: row.setback === null ? null : (JSON.parse(row.setback) as Setback),
  }));
}

export async function putPathStates(queries: Queries, rollout: Rollout, states: readonly PathState[]): Promise<void> {
  for (let at = 0; at < states.length; at += CHUNK_ROWS) {
    const rows = states.slice(at, at + CHUNK_ROWS).map((state) => ({
      path_id: state.pathId,
      rollout_id: rollout.rolloutId,
      environment: rollout.environment,
      region: rollout.region,
      endpoint_id: state.endpointId,
      caller: state.caller,
      wave: state.wave,
      stage: state.stage,
      since: state.since,
      settled_at: state.settledAt,
      latched_at: state.latchedAt,
      weakening: state.weakening === null ? null : JSON.stringify(state.weakening),
      setback: state.setback === null ? null : JSON.stringify(state.setback),
    }));
    await tables(queries)
      .insertInto('rollout_paths')
      .values(rows)
      .onConflict((conflict) =>
        conflict.column('path_id').doUpdateSet((set) => ({
          wave: set.ref('excluded.wave'),
          stage: set.ref('excluded.stage'),
          since: set.ref('excluded.since'),
          settled_at: set.ref('excluded.settled_at'),
          latched_at: set.ref('excluded.latched_at'),
          weakening: set.ref('excluded.weakening'),
          setback: set.ref('excluded.setback'),
        })),
      )
      .execute();
  }
}

export async function insertStep(queries: Queries, rollout: Rollout, step: StoredStep): Promise<void> {
  await tables(queries)
    .insertInto('rollout_steps')
    .values({
      id: step.stepId,
      rollout_id: rollout.rolloutId,
      environment: rollout.environment,
      region: rollout.region,
      parent_id: step.parent ?? '',
      at: step.at,
      kind: step.kind,
      wave: step.wave,
      moves: JSON.stringify(step.moves),
      reasons: JSON.stringify(step.reasons),
    })
    .execute();
}

/** The last steps, newest first. */
export async function readSteps(queries: Queries, rolloutId: EntityId<'rollout'>, limit: number): Promise<readonly StoredStep[]> {
  const rows = await tables(queries)
    .selectFrom('rollout_steps')
    .selectAll()
    .where('rollout_id', '=', rolloutId)
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    stepId: row.id,
    rolloutId: row.rollout_id,
    parent: row.parent_id === '' ? null : row.parent_id,
    at: row.at,
    kind: row.kind,
    wave: row.wave,
    moves: JSON.parse(row.moves) as PathMove[],
    reasons: JSON.parse(row.reasons) as Reason[],
  }));
}

export async function readHolds(queries: Queries, rolloutId: EntityId<'rollout'>): Promise<readonly Hold[]> {
  const rows = await tables(queries)
    .selectFrom('rollout_holds')
    .selectAll()
    .where('rollout_id', '=', rolloutId)
    .orderBy('first_at')
    .execute();
  return rows.map((row) => ({
    reason: JSON.parse(row.reason) as Reason,
    firstAt: row.first_at,
    lastAt: row.last_at,
    endedAt: row.ended_at,
  }));
}

/** Opens, refreshes or reopens the hold of each reason. */
export async function putHolds(queries: Queries, rollout: Rollout, holds: readonly Hold[]): Promise<void> {
  for (let at = 0; at < holds.length; at += CHUNK_ROWS) {
    const rows = holds.slice(at, at + CHUNK_ROWS).map((hold) => ({
      rollout_id: rollout.rolloutId,
      reason_key: reasonKey(hold.reason),
      environment: rollout.environment,
      region: rollout.region,
      reason: JSON.stringify(hold.reason),
      first_at: hold.firstAt,
      last_at: hold.lastAt,
      ended_at: hold.endedAt,
    }));
    await tables(queries)
      .insertInto('rollout_holds')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['rollout_id', 'reason_key']).doUpdateSet((set) => ({
          reason: set.ref('excluded.reason'),
          last_at: set.ref('excluded.last_at'),
          ended_at: set.ref('excluded.ended_at'),
        })),
      )
      .execute();
  }
}

function toRollout(row: RolloutTables['rollouts']): Rollout {
  return {
    rolloutId: row.id,
    environment: row.environment,
    region: row.region,
    name: row.name,
    status: row.status,
    config: parseRolloutConfig(JSON.parse(row.config)),
    lastStepId: row.last_step_id,
    revision: row.revision,
  };
}

function tables(queries: Queries) {
  return queries.withTables<RolloutTables>();
}

/** Bound values of one statement stay below 32766 in SQLite. */
const CHUNK_ROWS = 500;
