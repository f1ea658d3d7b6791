import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareInsert, prepareListQuery, prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { Authorization } from './authorization.ts';
import type { ChallengeType } from './challenge-type.ts';
import type { Identifier } from './identifier.ts';
import type { ProblemDocument } from './problems.ts';

export async function insertAuthorizations(queries: Queries, authorizations: readonly Authorization[]): Promise<void> {
  const rows = authorizations.map((one) => ({
    id: one.id,
    account_id: one.accountId,
    environment: one.environment,
    region: one.region,
    identifier_type: one.identifier.type,
    identifier: one.identifier.value,
    wildcard: one.wildcard ? 1 : 0,
    status: one.status,
    token: one.token,
    created_at: one.createdAt,
    expires_at: one.expiresAt,
  }));
  await insertRows(queries, rows);
}

export async function findAuthorization(queries: Queries, id: string): Promise<Authorization | null> {
  const [row] = await selectByIds(queries, [id], {});
  return row === undefined ? null : toAuthorization(row);
}

/** In the order of the ids given; what was pruned is left out. */
export async function listAuthorizations(queries: Queries, ids: readonly string[]): Promise<Authorization[]> {
  const rows = await selectByIds(queries, ids, {});
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
  return (await selectValid(queries, values, { accountId, now })).map(toAuthorization);
}

/** Chooses the challenge that is tried; false, and nothing done, if one was chosen or it is not pending. */
export async function chooseChallenge(
  queries: Queries,
  id: EntityId<'authorization'>,
  choice: { readonly challenge: ChallengeType; readonly dueAt: Instant },
  now: Instant,
): Promise<boolean> {
  const { numAffectedRows = 0n } = await updateChoice(queries, { id, ...choice, now });
  return numAffectedRows > 0n;
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
  const { numAffectedRows = 0n } =
    outcome.status === 'valid'
      ? await updateValid(queries, { id, validatedAt: outcome.validatedAt, expiresAt: outcome.expiresAt })
      : await updateFailed(queries, {
          id,
          status: outcome.status,
          error: JSON.stringify(outcome.error),
          dueAt: outcome.status === 'pending' ? outcome.dueAt : null,
        });
  return numAffectedRows > 0n;
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

const insertRows = prepareInsert<Omit<AuthorizationRow, 'challenge' | 'error' | 'validated_at' | 'due_at'>>('acme_authorizations', [
  'id',
  'account_id',
  'environment',
  'region',
  'identifier_type',
  'identifier',
  'wildcard',
  'status',
  'token',
  'created_at',
  'expires_at',
]);

const selectByIds = prepareListQuery((queries, ids: readonly string[]) =>
  tables(queries).selectFrom('acme_authorizations').selectAll().where('id', 'in', ids),
);

const selectValid = prepareListQuery((queries, identifiers: readonly string[], value: Values<{ accountId: string; now: Instant }>) =>
  tables(queries)
    .selectFrom('acme_authorizations')
    .selectAll()
    .where('account_id', '=', value('accountId'))
    .where('identifier', 'in', identifiers)
    .where('status', '=', sql.lit('valid'))
    .where('expires_at', '>', value('now')),
);

const updateChoice = prepareQuery((queries, value: Values<{ id: string; challenge: ChallengeType; dueAt: Instant; now: Instant }>) =>
  tables(queries)
    .updateTable('acme_authorizations')
    .set({ challenge: value('challenge'), due_at: value('dueAt') })
    .where('id', '=', value('id'))
    .where('status', '=', sql.lit('pending'))
    .where('challenge', 'is', null)
    .where('expires_at', '>', value('now')),
);

const updateValid = prepareQuery((queries, value: Values<{ id: string; validatedAt: Instant; expiresAt: Instant }>) =>
  tables(queries)
    .updateTable('acme_authorizations')
    .set({ status: 'valid', error: null, validated_at: value('validatedAt'), expires_at: value('expiresAt'), due_at: null })
    .where('id', '=', value('id'))
    .where('status', '=', sql.lit('pending')),
);

const updateFailed = prepareQuery((queries, value: Values<{ id: string; status: string; error: string; dueAt: Instant | null }>) =>
  tables(queries)
    .updateTable('acme_authorizations')
    .set({ status: value('status'), error: value('error'), due_at: value('dueAt') })
    .where('id', '=', value('id'))
    .where('status', '=', sql.lit('pending')),
);

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
