import type { EntityId } from '../../core/ids/entity-id.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { JoinRole } from './join-role.ts';

export type JoinTokenRecord = {
  readonly id: EntityId<'token'>;
  readonly secretSha256: Uint8Array;
  readonly spiffeId: SpiffeId;
  readonly role: JoinRole;
  readonly proxyId: EntityId<'proxy'>;
  readonly proxyName: string;
  readonly environment: string;
  readonly region: string;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
  readonly claimedBy: string | null;
  readonly claimedAt: Instant | null;
  readonly claims: number;
};

export async function insertJoinToken(queries: Queries, token: JoinTokenRecord): Promise<void> {
  await tables(queries)
    .insertInto('join_tokens')
    .values({
      id: token.id,
      secret_sha256: token.secretSha256,
      spiffe_id: token.spiffeId,
      role: token.role,
      proxy_id: token.proxyId,
      proxy_name: token.proxyName,
      environment: token.environment,
      region: token.region,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: token.revokedAt,
      claimed_by: token.claimedBy,
      claimed_at: token.claimedAt,
      claims: token.claims,
    })
    .execute();
}

export async function findJoinToken(queries: Queries, id: EntityId<'token'>): Promise<JoinTokenRecord | null> {
  const row = await tables(queries).selectFrom('join_tokens').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toJoinToken(row);
}

/** The join tokens that could still be used, newest first. */
export async function listOpenJoinTokens(queries: Queries, now: Instant): Promise<JoinTokenRecord[]> {
  const rows = await tables(queries)
    .selectFrom('join_tokens')
    .selectAll()
    .where('revoked_at', 'is', null)
    .where('claimed_by', 'is', null)
    .where('expires_at', '>', now)
    .orderBy('id', 'desc')
    .execute();
  return rows.map(toJoinToken);
}

/** The join tokens with which somebody could get a certificate now: unused ones, and used ones by the same key again. */
export async function listLiveJoinTokens(queries: Queries, now: Instant): Promise<JoinTokenRecord[]> {
  const rows = await tables(queries)
    .selectFrom('join_tokens')
    .selectAll()
    .where('expires_at', '>', now)
    .where('revoked_at', 'is', null)
    .orderBy('id')
    .execute();
  return rows.map(toJoinToken);
}

/** Marks the token as used by this key. False, and nothing done, if another key was first or it is no longer open. */
export async function markJoinTokenClaimed(
  queries: Queries,
  claim: { readonly id: EntityId<'token'>; readonly claimedBy: string; readonly maximumClaims: number },
  now: Instant,
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('join_tokens')
    .set((set) => ({
      claimed_by: claim.claimedBy,
      claimed_at: set.fn.coalesce('claimed_at', set.val(now)),
      claims: set('claims', '+', 1),
    }))
    .where('id', '=', claim.id)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .where('claims', '<', claim.maximumClaims)
    .where((where) => where.or([where('claimed_by', 'is', null), where('claimed_by', '=', claim.claimedBy)]))
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** True if this call revoked it; false if it was revoked before. */
export async function markJoinTokenRevoked(queries: Queries, id: EntityId<'token'>, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('join_tokens')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Forgets, a piece at a time, what ended before that moment. */
export async function deleteEndedJoinTokens(queries: Queries, before: Instant): Promise<void> {
  await tables(queries)
    .deleteFrom('join_tokens')
    .where('id', 'in', (ended) => ended.selectFrom('join_tokens').select('id').where('expires_at', '<', before).limit(PIECE))
    .execute();
}

type JoinTokenRow = {
  id: string;
  secret_sha256: Uint8Array;
  spiffe_id: string;
  role: string;
  proxy_id: string;
  proxy_name: string;
  environment: string;
  region: string;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  claimed_by: string | null;
  claimed_at: number | null;
  claims: number;
};

const tables = (queries: Queries) => queries.withTables<{ join_tokens: JoinTokenRow }>();

function toJoinToken(row: JoinTokenRow): JoinTokenRecord {
  return {
    id: row.id as EntityId<'token'>,
    secretSha256: row.secret_sha256,
    spiffeId: row.spiffe_id as SpiffeId,
    role: row.role as JoinRole,
    proxyId: row.proxy_id as EntityId<'proxy'>,
    proxyName: row.proxy_name,
    environment: row.environment,
    region: row.region,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    claimedBy: row.claimed_by,
    claimedAt: row.claimed_at,
    claims: row.claims,
  };
}

/** More than a fleet joins with in an hour, and a commit of some milliseconds. */
const PIECE = 1_000;
