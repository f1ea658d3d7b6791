import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Authorization } from './authorization.ts';
import type { ChallengeType } from './challenge-type.ts';
import type { Identifier } from './identifier.ts';
import type { ProblemDocument } from './problems.ts';

export async function insertAuthorizations(queries: Queries, authorizations: readonly Authorization[]): Promise<void> {
  if (authorizations.length === 0) return;
  await tables(queries)
    .insertInto('acme_authorizations')
    .values(
      authorizations.map((one) => ({
        id: one.id,
        account_id: one.accountId,
        environment: one.environment,
        region: one.region,
        identifier_type: one.identifier.type,
        identifier: one.identifier.value,
        wildcard: one.wildcard ? 1 : 0,
        status: one.status,
        token: one.token,
        challenge: null,
        error: null,
        validated_at: null,
        due_at: null,
        created_at: one.createdAt,
        expires_at: one.expiresAt,
      })),
    )
    .execute();
}

export async function findAuthorization(queries: Queries, id: string): Promise<Authorization | null> {
  const row = await tables(queries).selectFrom('acme_authorizations').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toAuthorization(row);
}

/** In the order of the ids given; what was pruned is left out. */
export async function listAuthorizations(queries: Queries, ids: readonly string[]): Promise<Authorization[]> {
  const rows = await tables(queries).selectFrom('acme_authorizations').selectAll().where('id', 'in', ids).execute();
  const found = new Map(rows.map((row) => [row.id, toAuthorization(row)]));
  return ids.flatMap((id) => found.get(id) ?? []);
}

/** What the account has proved of these identifier values and may still use. */
export async function listValidAuthorizations(
  queries: Queries,
  accountId: string,
  values: readonly string[],
  now: Instant,
): Promise<Authorization[]> {
  const rows = await tables(queries)
    .selectFrom('acme_authorizations')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('identifier', 'in', values)
    .where('status', '=', 'valid')
    .where('expires_at', '>', now)
    .execute();
  return rows.map(toAuthorization);
}

/** Chooses the challenge that is tried; false, and nothing done, if one was chosen or it is not pending. */
export async function chooseChallenge(
  queries: Queries,
  id: EntityId<'authorization'>,
  choice: { readonly challenge: ChallengeType; readonly dueAt: Instant },
  now: Instant,
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_authorizations')
    .set({ challenge: choice.challenge, due_at: choice.dueAt })
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .where('challenge', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** What came of the challenge, or of one try of it; false, and nothing done, if the authorization is not pending any more. */
export async function recordTry(
  queries: Queries,
  id: EntityId<'authorization'>,
  outcome:
    | { readonly status: 'valid'; readonly validatedAt: Instant; readonly expiresAt: Instant }
    | { readonly status: 'invalid'; readonly error: ProblemDocument }
    | { readonly status: 'pending'; readonly error: ProblemDocument; readonly dueAt: Instant },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_authorizations')
    .set(
      outcome.status === 'valid'
        ? { status: 'valid', error: null, validated_at: outcome.validatedAt, expires_at: outcome.expiresAt, due_at: null }
        : {
            status: outcome.status,
            error: JSON.stringify(outcome.error),
            due_at: outcome.status === 'pending' ? outcome.dueAt : null,
          },
    )
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Takes over validations whose worker is gone: each to one caller only. */
export async function takeDueValidations(queries: Queries, now: Instant, dueAt: Instant, limit: number): Promise<Authorization[]> {
  const rows = await tables(queries)
    .selectFrom('acme_authorizations')
    .selectAll()
    .where('due_at', '<', now)
    .orderBy('due_at')
    .limit(limit)
    .execute();
  const taken: Authorization[] = [];
  for (const row of rows) {
    const result = await tables(queries)
      .updateTable('acme_authorizations')
      .set({ due_at: dueAt })
      .where('id', '=', row.id)
      .where('due_at', '=', row.due_at)
      .executeTakeFirst();
    if (result.numUpdatedRows > 0n) taken.push(toAuthorization(row));
  }
  return taken;
}

/** By its account (RFC 8555 section 7.5.2); false, and nothing done, if it is neither pending nor valid. */
export async function deactivateAuthorization(queries: Queries, id: EntityId<'authorization'>): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_authorizations')
    .set({ status: 'deactivated', due_at: null })
    .where('id', '=', id)
    .where('status', 'in', ['pending', 'valid'])
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** All that an account, which is being deactivated, could still use. */
export async function deactivateAuthorizationsOf(queries: Queries, accountId: string): Promise<void> {
  await tables(queries)
    .updateTable('acme_authorizations')
    .set({ status: 'deactivated', due_at: null })
    .where('account_id', '=', accountId)
    .where('status', 'in', ['pending', 'valid'])
    .execute();
}

/** Deletes what ended before `before`, at most `limit` rows. */
export async function pruneAuthorizations(queries: Queries, before: Instant, limit: number): Promise<void> {
  await tables(queries)
    .deleteFrom('acme_authorizations')
    .where('id', 'in', (inner) => inner.selectFrom('acme_authorizations').select('id').where('expires_at', '<', before).limit(limit))
    .execute();
}

type AuthorizationRow = {
  id: string;
  account_id: string;
  environment: string;
  region: string;
  identifier_type: string;
  identifier: string;
  wildcard: number;
  status: string;
  token: string;
  challenge: string | null;
  error: string | null;
  validated_at: number | null;
  due_at: number | null;
  created_at: number;
  expires_at: number;
};

const tables = (queries: Queries) => queries.withTables<{ acme_authorizations: AuthorizationRow }>();

function toAuthorization(row: AuthorizationRow): Authorization {
  return {
    id: row.id as Authorization['id'],
    accountId: row.account_id as Authorization['accountId'],
    environment: row.environment,
    region: row.region,
    identifier: { type: row.identifier_type as Identifier['type'], value: row.identifier },
    wildcard: row.wildcard === 1,
    status: row.status as Authorization['status'],
    token: row.token,
    challenge: row.challenge as ChallengeType | null,
    error: row.error === null ? null : (JSON.parse(row.error) as ProblemDocument),
    validatedAt: row.validated_at,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
