import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseRolloutConfig, type RolloutConfig } from '../../core/rollout/rollout-config.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { toJson } from './commit-step.ts';
import { findRollout, insertRollout, updateRollout } from './store.ts';

export type RolloutDeclaration = {
  readonly name: string;
  readonly environment: string;
  readonly region: string;
  /** Fields of RolloutConfig; those left out keep their value, or get the default. */
  readonly spec: unknown;
};

/**
 * Makes the rollout of an environment (paused, until somebody starts it), or changes what it asks for. What lowers a safeguard, such as
 * `unattributed: refuse` or an unwanted caller, is in the audit entry with the value before.
 * @throws input-invalid; state-conflict if the environment has a rollout of another name
 */
export async function applyRollout(
  deps: { readonly database: AuditedDatabase },
  { name, environment, region, spec }: RolloutDeclaration,
  actor: Actor,
  now: Instant,
): Promise<{ readonly rolloutId: EntityId<'rollout'>; readonly changed: boolean }> {
  if (name.length === 0 || name.length > MAX_NAME)
    throw new Problem('input-invalid', `Cannot apply rollout: a name of ${name.length} characters, expected 1 to ${MAX_NAME}`);
  return deps.database.commit(async (unit) => {
    const before = await findRollout(unit.queries, environment);
    if (before !== null && before.name !== name) {
      throw new Problem('state-conflict', `Cannot apply rollout: ${environment} has the rollout ${before.name}, expected that name`);
    }
    const config = parseRolloutConfig(spec, before?.config);
    const changes = describeChanges(before?.config ?? null, config);
    if (before !== null && changes.length === 0) return { rolloutId: before.rolloutId, changed: false };
    const rolloutId = before?.rolloutId ?? newEntityId('rollout', now);
    if (before === null) {
      await insertRollout(
        unit.queries,
        { rolloutId, environment, region, name, status: 'paused', config, lastStepId: null, revision: 1 },
        now,
      );
    } else if (!(await updateRollout(unit.queries, before, { config }))) throw changedMeanwhile(name);
    recordEntry(unit, {
      type: before === null ? 'rollout.created' : 'rollout.changed',
      at: now,
      environment,
      region,
      actor,
      data: { rolloutId, name, changes: toJson(changes) },
    });
    return { rolloutId, changed: true };
  });
}

/** The error of a change that met another one. */
export function changedMeanwhile(name: string): Problem {
  return new Problem('state-conflict', `Cannot change rollout: ${name} has changed since it was read, expected nobody else to change it`);
}

function describeChanges(
  before: RolloutConfig | null,
  after: RolloutConfig,
): readonly { readonly key: string; readonly before: unknown; readonly after: unknown }[] {
  return (Object.keys(after) as (keyof RolloutConfig)[])
    .filter((key) => before === null || JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map((key) => ({ key, before: before?.[key] ?? null, after: after[key] }));
}

const MAX_NAME = 200;
