import type { EntityId } from '../../core/ids/entity-id.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { PathMove, PathStage, PathState, Setback, Weakening } from '../../core/rollout/path-state.ts';
import type { StepKind } from '../../core/rollout/planned-step.ts';
import { type Reason, reasonKey } from '../../core/rollout/reason.ts';
import type { RolloutState } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

type Place = { readonly environment: string; readonly region: string };

/** How far a target's rollout has come, without its paths. */
export type RolloutRecord = Place & {
  /** The target's id. */
  readonly rolloutId: EntityId<'rollout'>;
  readonly name: string;
  readonly status: RolloutState['status'];
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
    readonly ordinal: number;
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

export async function listRollouts(queries: Queries): Promise<readonly RolloutRecord[]> {
  const rows = await tables(queries).selectFrom('rollouts').selectAll().orderBy('id').execute();
  return rows.map((row) => ({
    rolloutId: row.id,
    environment: row.environment,
    region: row.region,
    name: row.name,
    status: row.status,
    lastStepId: row.last_step_id,
    revision: row.revision,
  }));
}

export async function insertRollout(queries: Queries, rollout: RolloutRecord, now: Instant): Promise<void> {
  const { rolloutId, environment, region, name, status, lastStepId, revision } = rollout;
  await tables(queries)
    .insertInto('rollouts')
    .values({ id: rolloutId, environment, region, name, status, last_step_id: lastStepId, revision, created_at: now })
    .execute();
}

/** Changes a rollout if it still is as it was read; false if somebody else changed it since. */
export async function updateRollout(
  queries: Queries,
  { rolloutId, revision }: RolloutRecord,
  change: { readonly status?: RolloutRecord['status']; readonly lastStepId?: EntityId<'step'> },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('rollouts')
    .set({
      revision: revision + 1,
      ...(change.status === undefined ? {} : { status: change.status }),
      ...(change.lastStepId === undefined ? {} : { last_step_id: change.lastStepId }),
    })
    .where('id', '=', rolloutId)
    .where('revision', '=', revision)
    .executeTakeFirst();
  return Number(result.numUpdatedRows) === 1;
}

/** Where each path of the environment stands, and which rollout brought it there. */
export async function readPathStates(
  queries: Queries,
  environment: string,
): Promise<readonly { readonly rolloutId: EntityId<'rollout'>; readonly state: PathState }[]> {
  const rows = await tables(queries)
    .selectFrom('rollout_paths')
    .selectAll()
    .where('environment', '=', environment)
    .orderBy('path_id')
    .execute();
  return rows.map((row) => ({
    rolloutId: row.rollout_id,
    state: {
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
    },
  }));
}

/** Endpoints of which a path was proven once, also where that path is gone from the inventory. */
export async function readLatchedEndpoints(queries: Queries): Promise<ReadonlySet<EntityId<'endpoint'>>> {
  const rows = await tables(queries)
    .selectFrom('rollout_paths')
    .select('endpoint_id')
    .distinct()
    .where('latched_at', 'is not', null)
    .execute();
  return new Set(rows.map((row) => row.endpoint_id));
}

export async function putPathStates(queries: Queries, rollout: RolloutRecord, states: readonly PathState[]): Promise<void> {
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
          rollout_id: set.ref('excluded.rollout_id'),
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

/** Appends a step to the rollout as it was read. */
export async function insertStep(queries: Queries, rollout: RolloutRecord, step: StoredStep): Promise<void> {
  await tables(queries)
    .insertInto('rollout_steps')
    .values({
      id: step.stepId,
      rollout_id: rollout.rolloutId,
      environment: rollout.environment,
      region: rollout.region,
      parent_id: step.parent ?? '',
      ordinal: rollout.revision + 1,
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
    .orderBy('ordinal', 'desc')
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
export async function putHolds(queries: Queries, rollout: RolloutRecord, holds: readonly Hold[]): Promise<void> {
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

function tables(queries: Queries) {
  return queries.withTables<RolloutTables>();
}

/** Bound values of one statement stay below 32766 in SQLite. */
const CHUNK_ROWS = 500;
