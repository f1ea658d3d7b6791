// oxlint-disable-next-line typescript/no-explicit-any -- a migration sees the schema as it was then, which no type of today tells
import type { Kysely } from 'kysely';

/** What the rollout decided: rollouts, where each path stands, the steps that brought it there, and what holds. */
// oxlint-disable-next-line typescript/no-explicit-any
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('rollouts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('last_step_id', 'text')
    // Rises with every change; a planner that read an older one has to read again.
    .addColumn('revision', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('rollout_paths')
    .addColumn('path_id', 'text', (column) => column.primaryKey())
    .addColumn('rollout_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('wave', 'integer')
    .addColumn('stage', 'text', (column) => column.notNull())
    .addColumn('since', 'bigint', (column) => column.notNull())
    .addColumn('settled_at', 'bigint')
    .addColumn('latched_at', 'bigint')
    // JSON of the weakening and of the setback, null where there is none.
    .addColumn('weakening', 'text')
    .addColumn('setback', 'text')
    .execute();
  await db.schema.createIndex('rollout_paths_endpoint').on('rollout_paths').columns(['environment', 'endpoint_id']).execute();
  await db.schema
    .createTable('rollout_steps')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('rollout_id', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    // The step before, empty for the first: with the unique key below, a step has one child.
    .addColumn('parent_id', 'text', (column) => column.notNull())
    // The rollout's revision that it made: steps of one millisecond have an order too.
    .addColumn('ordinal', 'bigint', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('wave', 'integer')
    .addColumn('moves', 'text', (column) => column.notNull())
    .addColumn('reasons', 'text', (column) => column.notNull())
    .addUniqueConstraint('rollout_steps_chain', ['rollout_id', 'parent_id'])
    .execute();
  await db.schema.createIndex('rollout_steps_order').on('rollout_steps').columns(['rollout_id', 'ordinal']).execute();
  await db.schema
    .createTable('rollout_holds')
    .addColumn('rollout_id', 'text', (column) => column.notNull())
    .addColumn('reason_key', 'text', (column) => column.notNull())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('first_at', 'bigint', (column) => column.notNull())
    .addColumn('last_at', 'bigint', (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .addPrimaryKeyConstraint('rollout_holds_key', ['rollout_id', 'reason_key'])
    .execute();
}
