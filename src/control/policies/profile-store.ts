import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileSpec } from '../../core/issuance/profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from './environments-in.ts';

/** A profile by its name in one environment. */
export type ProfileRecord = ProfileSpec & {
  readonly id: EntityId<'profile'>;
  readonly environment: string;
  readonly region: string;
  readonly name: ProfileName;
  /** Of the spec. */
  readonly digest: string;
  readonly updatedAt: Instant;
};

/** The declared profiles of these environments, by environment and name. */
export async function listProfiles(queries: Queries, scope: Scope): Promise<readonly ProfileRecord[]> {
  const rows = await tables(queries)
    .selectFrom('profiles')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(({ id, environment, region, name, digest, content, updated_at: updatedAt }) => ({
    ...(JSON.parse(content) as ProfileSpec),
    id: id as EntityId<'profile'>,
    environment,
    region,
    name: name as ProfileName,
    digest,
    updatedAt,
  }));
}

/** Of the spec that is declared now; null: none is. */
export async function findProfileDigest(queries: Queries, environment: string, name: ProfileName): Promise<string | null> {
  const row = await tables(queries)
    .selectFrom('profiles')
    .select('digest')
    .where('environment', '=', environment)
    .where('name', '=', name)
    .executeTakeFirst();
  return row?.digest ?? null;
}

export async function upsertProfile(queries: Queries, record: ProfileRecord): Promise<void> {
  const { id, environment, region, name, digest, updatedAt, ...spec } = record;
  const values = { region, digest, content: JSON.stringify(spec), updated_at: updatedAt };
  await tables(queries)
    .insertInto('profiles')
    .values({ id, environment, name, ...values })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute();
}

export async function deleteProfile(queries: Queries, id: EntityId<'profile'>): Promise<void> {
  await tables(queries).deleteFrom('profiles').where('id', '=', id).execute();
}

type ProfileRow = {
  id: string;
  environment: string;
  region: string;
  name: string;
  digest: string;
  content: string;
  updated_at: number;
};

const tables = (queries: Queries) => queries.withTables<{ profiles: ProfileRow }>();
