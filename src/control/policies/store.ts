import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Mode } from '../../core/policy/mode.ts';
import { defaultHttpPolicy } from '../../core/policy/http-policy.ts';
import { defaultPolicy, type Policy } from '../../core/policy/policy.ts';
import type { PolicyDigest } from '../../core/policy/policy-digest.ts';
import type { RolloutConfig } from '../../core/rollout/rollout-config.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from './environments-in.ts';

/** A policy by its name in one environment; its content never changes, the name can be moved to another. */
export type PolicyRecord = {
  readonly id: EntityId<'policy'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly digest: PolicyDigest;
  readonly policy: Policy;
  readonly updatedAt: Instant;
};

/** Where endpoints shall come to: what a rollout works from. Its id is the rollout's. */
export type TargetRecord = {
  readonly id: EntityId<'rollout'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly endpoints: 'all' | readonly EntityId<'endpoint'>[];
  readonly mode: Mode;
  readonly config: RolloutConfig;
  readonly updatedAt: Instant;
};

/** The policies of these environments, by environment and name. */
export async function listPolicies(queries: Queries, scope: Scope): Promise<readonly PolicyRecord[]> {
  const rows = await tables(queries)
    .selectFrom('policies')
    .innerJoin('policy_contents', 'policy_contents.digest', 'policies.digest')
    .select(['policies.id', 'environment', 'region', 'name', 'policies.digest', 'content', 'updated_at'])
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map((row) => ({
    id: row.id as EntityId<'policy'>,
    environment: row.environment,
    region: row.region,
    name: row.name,
    digest: row.digest,
    policy: parseContent(row.content),
    updatedAt: row.updated_at,
  }));
}

/** The content that this digest names, however old. */
export async function findPolicyContent(queries: Queries, digest: PolicyDigest): Promise<Policy | null> {
  const row = await tables(queries).selectFrom('policy_contents').select('content').where('digest', '=', digest).executeTakeFirst();
  return row === undefined ? null : parseContent(row.content);
}

/** Keeps the content if it is new, and moves the name to it. */
export async function upsertPolicy(queries: Queries, record: PolicyRecord, content: string): Promise<void> {
  const { id, environment, region, name, digest, updatedAt } = record;
  await tables(queries)
    .insertInto('policy_contents')
    .values({ digest, content, created_at: updatedAt })
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .execute();
  await tables(queries)
    .insertInto('policies')
    .values({ id, environment, region, name, digest, updated_at: updatedAt })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ region, digest, updated_at: updatedAt }))
    .execute();
}

export async function deletePolicy(queries: Queries, id: EntityId<'policy'>): Promise<void> {
  await tables(queries).deleteFrom('policies').where('id', '=', id).execute();
}

/** The targets of these environments, by environment and name. */
export async function listTargets(queries: Queries, scope: Scope): Promise<readonly TargetRecord[]> {
  const rows = await tables(queries)
    .selectFrom('targets')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map((row) => ({
    id: row.id as EntityId<'rollout'>,
    environment: row.environment,
    region: row.region,
    name: row.name,
    endpoints: JSON.parse(row.endpoints) as TargetRecord['endpoints'],
    mode: row.mode as Mode,
    config: JSON.parse(row.config) as RolloutConfig,
    updatedAt: row.updated_at,
  }));
}

export async function upsertTarget(queries: Queries, target: TargetRecord): Promise<void> {
  const { id, environment, name } = target;
  const values = {
    region: target.region,
    endpoints: JSON.stringify(target.endpoints),
    mode: target.mode,
    config: JSON.stringify(target.config),
    updated_at: target.updatedAt,
  };
  await tables(queries)
    .insertInto('targets')
    .values({ id, environment, name, ...values })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute();
}

export async function deleteTarget(queries: Queries, id: EntityId<'rollout'>): Promise<void> {
  await tables(queries).deleteFrom('targets').where('id', '=', id).execute();
}

type PolicyRow = { id: string; environment: string; region: string; name: string; digest: string; updated_at: number };
type ContentRow = { digest: string; content: string; created_at: number };
type TargetRow = {
  id: string;
  environment: string;
  region: string;
  name: string;
  endpoints: string;
  mode: string;
  config: string;
  updated_at: number;
};

/** What was stored before a field existed has its default. */
function parseContent(content: string): Policy {
  const stored = JSON.parse(content) as Policy;
  const http = { ...defaultHttpPolicy, ...stored.http };
  const replicas = { ...defaultPolicy.replicas, ...stored.replicas };
  const limits = { ...defaultPolicy.limits, ...stored.limits };
  return {
    ...stored,
    limits,
    replicas,
    http: { ...http, boundTokens: http.boundTokens === null ? null : { ...NOT_PUBLISHED, ...http.boundTokens } },
  };
}

const NOT_PUBLISHED = { published: null } as const;

const tables = (queries: Queries) => queries.withTables<{ policies: PolicyRow; policy_contents: ContentRow; targets: TargetRow }>();
