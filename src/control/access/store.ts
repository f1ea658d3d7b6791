import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { Scope } from './principal.ts';
import type { Role } from './role.ts';

export type AccessTokenRecord = {
  readonly id: EntityId<'token'>;
  readonly kind: 'bootstrap' | 'named';
  readonly name: string;
  readonly role: Role;
  readonly scope: Scope;
  /** Where it was made. */
  readonly environment: string;
  readonly region: string;
  readonly secretSha256: Uint8Array;
  readonly createdAt: Instant;
  /** Null: until it is ended. */
  readonly expiresAt: Instant | null;
  /** When it was revoked or, for a bootstrap token, exchanged. */
  readonly endedAt: Instant | null;
};

export async function insertAccessToken(queries: Queries, token: AccessTokenRecord): Promise<void> {
  await tables(queries)
    .insertInto('access_tokens')
    .values({
      id: token.id,
      kind: token.kind,
      name: token.name,
      role: token.role,
      scope: JSON.stringify(token.scope),
      environment: token.environment,
      region: token.region,
      secret_sha256: token.secretSha256,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      ended_at: token.endedAt,
    })
    .execute();
}

export async function findAccessToken(queries: Queries, id: EntityId<'token'>): Promise<AccessTokenRecord | null> {
  const [row] = (await selectAccessToken(queries, { id })).rows;
  return row === undefined ? null : toAccessToken(row);
}

/** Those of these ids that there are. */
export async function findAccessTokens(queries: Queries, ids: readonly string[]): Promise<AccessTokenRecord[]> {
  if (ids.length === 0) return [];
  const rows = await tables(queries).selectFrom('access_tokens').selectAll().where('id', 'in', ids).execute();
  return rows.map(toAccessToken);
}

/** Every token ever made, newest first, without what was ended before `endedAfter`. */
export async function listAccessTokens(queries: Queries, options: { readonly endedAfter: Instant }): Promise<AccessTokenRecord[]> {
  const rows = await tables(queries)
    .selectFrom('access_tokens')
    .selectAll()
    .where((where) => where.or([where('ended_at', 'is', null), where('ended_at', '>', options.endedAfter)]))
    .orderBy('id', 'desc')
    .execute();
  return rows.map(toAccessToken);
}

/** True if this call ended it; false if it had ended before. */
export async function endAccessToken(queries: Queries, id: EntityId<'token'>, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('access_tokens')
    .set({ ended_at: now })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Ends every bootstrap token that is still open. */
export async function endBootstrapTokens(queries: Queries, now: Instant): Promise<void> {
  await tables(queries)
    .updateTable('access_tokens')
    .set({ ended_at: now })
    .where('kind', '=', 'bootstrap')
    .where('ended_at', 'is', null)
    .execute();
}

/** The token that a column of another query names, if it is good now: for `exists`. */
export function selectLiveToken(queries: Queries, column: string, now: Instant) {
  return tables(queries)
    .selectFrom('access_tokens')
    .select('id')
    .where('id', '=', sql.ref<string>(column))
    .where('ended_at', 'is', null)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', now)]));
}

export async function findLiveTokensOf(queries: Queries, name: string, now: Instant): Promise<string[]> {
  const rows = await tables(queries)
    .selectFrom('access_tokens')
    .select('id')
    .where('name', '=', name)
    .where('ended_at', 'is', null)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', now)]))
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** Takes the name of tokens that are ended or expired; returns of how many. */
export async function renameEndedTokens(
  queries: Queries,
  { name, instead }: { readonly name: string; readonly instead: string },
  now: Instant,
): Promise<number> {
  const { numUpdatedRows } = await tables(queries)
    .updateTable('access_tokens')
    .set({ name: instead })
    .where('name', '=', name)
    .where((where) => where.or([where('ended_at', 'is not', null), where('expires_at', '<=', now)]))
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

type AccessTokenRow = {
  id: string;
  kind: string;
  name: string;
  role: string;
  scope: string;
  environment: string;
  region: string;
  secret_sha256: Uint8Array;
  created_at: number;
  expires_at: number | null;
  ended_at: number | null;
};

const tables = (queries: Queries) => queries.withTables<{ access_tokens: AccessTokenRow }>();

const selectAccessToken = prepareQuery((queries, value: Values<{ id: string }>) =>
  tables(queries).selectFrom('access_tokens').selectAll().where('id', '=', value('id')),
);

function toAccessToken(row: AccessTokenRow): AccessTokenRecord {
  return {
    id: row.id as EntityId<'token'>,
    kind: row.kind as AccessTokenRecord['kind'],
    name: row.name,
    role: row.role as Role,
    scope: JSON.parse(row.scope) as Scope,
    environment: row.environment,
    region: row.region,
    secretSha256: row.secret_sha256,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
  };
}
