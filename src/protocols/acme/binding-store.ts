import type { Role } from '../../control/access/role.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** A token that binds one account to a role; without its MAC key, which is derived. */
export type BindingToken = {
  readonly id: EntityId<'token'>;
  readonly name: string;
  readonly role: Role;
  readonly environment: string;
  readonly region: string;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly usedAt: Instant | null;
  readonly revokedAt: Instant | null;
};

export async function insertBindingToken(queries: Queries, token: BindingToken): Promise<void> {
  const { id, name, role, environment, region, createdAt, expiresAt } = token;
  await tables(queries)
    .insertInto('acme_binding_tokens')
    .values({
      id,
      name,
      role,
      environment,
      region,
      created_at: createdAt,
      expires_at: expiresAt,
      account_id: null,
      used_at: null,
      revoked_at: null,
    })
    .execute();
}

export async function findBindingToken(queries: Queries, id: string): Promise<BindingToken | null> {
  const row = await tables(queries).selectFrom('acme_binding_tokens').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toToken(row);
}

/** False, and nothing done, unless the token is open. */
export async function claimBindingToken(
  queries: Queries,
  id: EntityId<'token'>,
  accountId: EntityId<'account'>,
  now: Instant,
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_binding_tokens')
    .set({ account_id: accountId, used_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False, and nothing done, unless the token is open. */
export async function endBindingToken(queries: Queries, id: string, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_binding_tokens')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** The name is for whoever looks at the list; returns how many tokens bore it. */
export async function renameBindingTokens(queries: Queries, name: string, instead: string): Promise<number> {
  const { numUpdatedRows } = await tables(queries)
    .updateTable('acme_binding_tokens')
    .set({ name: instead })
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/** Tokens that could still be used, newest first. */
export async function listOpenBindingTokens(queries: Queries, now: Instant): Promise<BindingToken[]> {
  const rows = await tables(queries)
    .selectFrom('acme_binding_tokens')
    .selectAll()
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .orderBy('id', 'desc')
    .limit(MAXIMUM_LISTED)
    .execute();
  return rows.map(toToken);
}

type BindingTokenRow = {
  id: string;
  name: string;
  role: string;
  environment: string;
  region: string;
  created_at: number;
  expires_at: number;
  account_id: string | null;
  used_at: number | null;
  revoked_at: number | null;
};

const tables = (queries: Queries) => queries.withTables<{ acme_binding_tokens: BindingTokenRow }>();

function toToken(row: BindingTokenRow): BindingToken {
  return {
    id: row.id as EntityId<'token'>,
    name: row.name,
    role: row.role as Role,
    environment: row.environment,
    region: row.region,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    usedAt: row.used_at,
    revokedAt: row.revoked_at,
  };
}

const MAXIMUM_LISTED = 1_000;
