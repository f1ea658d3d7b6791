import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { findAccessTokens } from '../access/store.ts';
import type { CertificateKey } from './certificate-store.ts';
import type { Approver, WaitingContent, WaitingRequest, WaitingStatus } from './waiting-request.ts';

export async function insertWaiting(queries: Queries, request: WaitingRequest): Promise<void> {
  await waitingTables(queries)
    .insertInto('issuance_requests')
    .values({
      id: request.id,
      environment: request.environment,
      region: request.region,
      profile: request.profile,
      status: request.status,
      content: JSON.stringify(request.content),
      digest: request.digest,
      asker: request.asker,
      token_id: request.tokenId,
      requested_at: request.requestedAt,
      expires_at: request.expiresAt,
      signing_at: null,
      settled_at: null,
      issuer_key_sha256: null,
      serial: null,
      order_id: null,
      reason: null,
    })
    .execute();
}

export async function findWaiting(queries: Queries, id: string): Promise<WaitingRequest | null> {
  const row = await waitingTables(queries).selectFrom('issuance_requests').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : ((await withApprovers(queries, [row]))[0] ?? null);
}

/** What this asker asked for by this content, and may still get; null: nothing. */
export async function findFiled(
  queries: Queries,
  { asker, digest }: { readonly asker: string; readonly digest: string },
  now: Instant,
): Promise<WaitingRequest | null> {
  const row = await openRequests(queries)
    .selectAll()
    .where('asker', '=', asker)
    .where('digest', '=', digest)
    .where('expires_at', '>', now)
    .orderBy('expires_at')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : ((await withApprovers(queries, [row]))[0] ?? null);
}

/** How many have not ended, of all or of one asker; no more than `limit` are counted. */
export async function countOpen(queries: Queries, limit: number, asker: string | null): Promise<number> {
  const counted = openRequests(queries)
    .select(sql<number>`1`.as('one'))
    .$if(asker !== null, (query) => query.where('asker', '=', asker!))
    .limit(limit);
  const { many } = await waitingTables(queries)
    .selectFrom(counted.as('counted'))
    .select((of) => of.fn.countAll<number>().as('many'))
    .executeTakeFirstOrThrow();
  return many;
}

/** Everything that has not ended, by when it expires; `limit` is above what may be open at a time. */
export async function listOpen(queries: Queries, limit: number): Promise<readonly WaitingRequest[]> {
  return withApprovers(queries, await openRequests(queries).selectAll().orderBy('expires_at').limit(limit).execute());
}

/** Newest first, of these environments. */
export async function listWaiting(
  queries: Queries,
  filter: { readonly environments: '*' | readonly string[]; readonly openOnly: boolean; readonly before?: string; readonly limit: number },
): Promise<readonly WaitingRequest[]> {
  const { environments, openOnly, before, limit } = filter;
  const rows = await waitingTables(queries)
    .selectFrom('issuance_requests')
    .selectAll()
    .$if(environments !== '*', (query) => query.where('environment', 'in', ['', ...environments]))
    .$if(openOnly, (query) => query.where('settled_at', 'is', null))
    .$if(before !== undefined, (query) => query.where('id', '<', before!))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  return withApprovers(queries, rows);
}

/** In the place of what the same person said by a token that is not `tokenId`. */
export async function putApproval(
  queries: Queries,
  { id, approver, tokenId }: { readonly id: string; readonly approver: string; readonly tokenId: EntityId<'token'> | null },
  at: Instant,
): Promise<void> {
  await waitingTables(queries)
    .insertInto('issuance_approvals')
    .values({ request_id: id, approver, at, token_id: tokenId })
    .onConflict((conflict) => conflict.columns(['request_id', 'approver']).doUpdateSet({ at, token_id: tokenId }))
    .execute();
}

/** From waiting, or from a signing that a process left before `abandoned`, to signing. False if another has it or it ended. */
export async function beginSigning(
  queries: Queries,
  id: string,
  { now, abandoned }: { readonly now: Instant; readonly abandoned: Instant },
) {
  const result = await waitingTables(queries)
    .updateTable('issuance_requests')
    .set({ status: 'signing', signing_at: now })
    .where('id', '=', id)
    .where((where) =>
      where.or([where('status', '=', 'waiting'), where.and([where('status', '=', 'signing'), where('signing_at', '<', abandoned)])]),
    )
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** To its end; false, and nothing done, if it has ended, or is not in the state that is named. */
export async function settleWaiting(
  queries: Queries,
  { id, from }: { readonly id: string; readonly from?: 'waiting' },
  end: {
    readonly status: Exclude<WaitingStatus, 'waiting' | 'signing'>;
    readonly certificate?: CertificateKey;
    readonly orderId?: EntityId<'order'>;
    readonly reason?: string;
  },
  now: Instant,
): Promise<boolean> {
  const result = await waitingTables(queries)
    .updateTable('issuance_requests')
    .set({
      status: end.status,
      settled_at: now,
      issuer_key_sha256: end.certificate?.issuerKeySha256 ?? null,
      serial: end.certificate?.serial ?? null,
      order_id: end.orderId ?? null,
      reason: end.reason ?? null,
    })
    .where('id', '=', id)
    .where('settled_at', 'is', null)
    .$if(from !== undefined, (query) => query.where('status', '=', from!))
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Forgets what ended before that moment, at most `limit` requests; the log keeps what became of them. */
export async function deleteSettled(queries: Queries, before: Instant, limit: number): Promise<void> {
  const rows = await waitingTables(queries)
    .selectFrom('issuance_requests')
    .select('id')
    .where('settled_at', '<', before)
    .where(sql<boolean>`settled_at is not null`)
    .limit(limit)
    .execute();
  if (rows.length === 0) return;
  const ids = rows.map(({ id }) => id);
  await waitingTables(queries).deleteFrom('issuance_approvals').where('request_id', 'in', ids).execute();
  await waitingTables(queries).deleteFrom('issuance_requests').where('id', 'in', ids).execute();
}

async function withApprovers(queries: Queries, rows: readonly RequestRow[]): Promise<readonly WaitingRequest[]> {
  if (rows.length === 0) return [];
  const approvals = await waitingTables(queries)
    .selectFrom('issuance_approvals')
    .select(['request_id', 'approver', 'token_id'])
    .where(
      'request_id',
      'in',
      rows.map(({ id }) => id),
    )
    .orderBy('at')
    .execute();
  const tokens = await findAccessTokens(queries, [...new Set(approvals.flatMap(({ token_id }) => (token_id === null ? [] : [token_id])))]);
  const standing = new Map(tokens.filter(({ endedAt }) => endedAt === null).map(({ id, role }) => [id as string, role]));
  const byRequest = Map.groupBy(approvals, ({ request_id }) => request_id);
  const approverOf = ({ approver: name, token_id }: Pick<ApprovalRow, 'approver' | 'token_id'>): Approver => ({
    name,
    role: standing.get(token_id ?? '') ?? null,
  });
  return rows.map((row) => ({ ...toWaiting(row), approvers: (byRequest.get(row.id) ?? []).map(approverOf) }));
}

function toWaiting(row: RequestRow): Omit<WaitingRequest, 'approvers'> {
  const { serial, issuer_key_sha256: issuerKeySha256 } = row;
  return {
    id: row.id as EntityId<'request'>,
    environment: row.environment,
    region: row.region,
    profile: row.profile as ProfileName,
    status: row.status as WaitingStatus,
    content: JSON.parse(row.content) as WaitingContent,
    digest: row.digest,
    asker: row.asker,
    tokenId: row.token_id as EntityId<'token'> | null,
    requestedAt: row.requested_at,
    expiresAt: row.expires_at,
    signingAt: row.signing_at,
    settledAt: row.settled_at,
    certificate: serial === null || issuerKeySha256 === null ? null : { issuerKeySha256, serial },
    orderId: row.order_id as EntityId<'order'> | null,
    reason: row.reason,
  };
}

type RequestRow = {
  id: string;
  environment: string;
  region: string;
  profile: string;
  status: string;
  content: string;
  digest: string;
  asker: string;
  token_id: string | null;
  requested_at: number;
  expires_at: number;
  signing_at: number | null;
  settled_at: number | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
  order_id: string | null;
  reason: string | null;
};
type ApprovalRow = { request_id: string; approver: string; at: number; token_id: string | null };

const openRequests = (queries: Queries) => waitingTables(queries).selectFrom('issuance_requests').where('settled_at', 'is', null);

/** The tables of what waits, for the parts of its store. */
export const waitingTables = (queries: Queries) => queries.withTables<{ issuance_requests: RequestRow; issuance_approvals: ApprovalRow }>();
