import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { AskerRole, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import type { Role } from '../access/role.ts';
import type { Actor } from '../audit/entry.ts';
import type { ExternalOrder, ExternalOrderStatus, ForeignKey } from './external-order.ts';

export async function insertExternalOrder(queries: Queries, order: ExternalOrder): Promise<void> {
  await tables(queries).insertInto('external_orders').values(fromOrder(order)).execute();
}

/** False, and nothing done, if somebody else changed or took it since `held` was read. */
export async function updateExternalOrder(queries: Queries, order: ExternalOrder, held: ExternalOrder): Promise<boolean> {
  const { id, ...row } = fromOrder(order);
  const result = await tables(queries)
    .updateTable('external_orders')
    .set(row)
    .where('id', '=', id)
    .where('status', '=', held.status)
    .where('due_at', '=', held.dueAt)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Takes orders that are due, the longest overdue first, for the taker alone until `until`. */
export async function takeDueOrders(
  queries: Queries,
  { now, until, limit }: { readonly now: Instant; readonly until: Instant; readonly limit: number },
): Promise<readonly ExternalOrder[]> {
  const taken: ExternalOrder[] = [];
  for (const order of await listDueOrders(queries, now, limit)) {
    const mine = { ...order, dueAt: until };
    if (await updateExternalOrder(queries, mine, order)) taken.push(mine);
  }
  return taken;
}

/** Newest first. */
export async function listExternalOrders(queries: Queries, scope: Scope, limit: number): Promise<readonly ExternalOrder[]> {
  let query = tables(queries).selectFrom('external_orders').selectAll().orderBy('id', 'desc').limit(limit);
  if (scope !== '*') {
    if (scope.length === 0) return [];
    query = query.where('environment', 'in', scope);
  }
  return (await query.execute()).map(toOrder);
}

export async function findExternalOrder(queries: Queries, id: EntityId<'order'>): Promise<ExternalOrder | null> {
  const row = await tables(queries).selectFrom('external_orders').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toOrder(row);
}

/** The order that a certificate came of; null: none did. */
export async function findOrderOf(queries: Queries, { issuerId, serial }: ForeignKey): Promise<ExternalOrder | null> {
  const row = await tables(queries)
    .selectFrom('external_orders')
    .selectAll()
    .where('certificate_issuer', '=', issuerId)
    .where('certificate_serial', '=', serial)
    .executeTakeFirst();
  return row === undefined ? null : toOrder(row);
}

async function listDueOrders(queries: Queries, now: Instant, limit: number): Promise<readonly ExternalOrder[]> {
  const rows = await tables(queries)
    .selectFrom('external_orders')
    .selectAll()
    // Written out, so that the index of the open ones is used.
    .where(sql<boolean>`status in ('requested', 'placing', 'placed')`)
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .limit(limit)
    .execute();
  return rows.map(toOrder);
}

/** Puts another name in the place of a person's in every order; those under way write it into the log no more. */
export async function renameAsker(queries: Queries, name: string, instead: string): Promise<number> {
  const [held, next] = [askedBy(name), askedBy(instead)];
  const renewed = await tables(queries)
    .updateTable('external_orders')
    .set({ first_asked_by: next })
    .where('first_asked_by', '=', held)
    .where('asked_by', '!=', held)
    .executeTakeFirst();
  const asked = await tables(queries)
    .updateTable('external_orders')
    .set({ asked_by: next, first_asked_by: next })
    .where('asked_by', '=', held)
    .executeTakeFirst();
  return Number(renewed.numUpdatedRows) + Number(asked.numUpdatedRows);
}

function askedBy(name: string): string {
  return JSON.stringify({ kind: 'person', name } satisfies Actor);
}

/** What the public listener answers for a token of http-01 (RFC 8555 section 8.3). */
export async function findChallengeAnswer(queries: Queries, token: string): Promise<string | null> {
  const row = await tables(queries).selectFrom('external_answers').select('answer').where('token', '=', token).executeTakeFirst();
  return row?.answer ?? null;
}

export async function insertChallengeAnswer(queries: Queries, row: { token: string; order_id: string; answer: string }): Promise<void> {
  await tables(queries)
    .insertInto('external_answers')
    .values(row)
    .onConflict((conflict) => conflict.column('token').doUpdateSet(row))
    .execute();
}

export async function deleteChallengeAnswers(queries: Queries, orderId: string): Promise<void> {
  await tables(queries).deleteFrom('external_answers').where('order_id', '=', orderId).execute();
}

type OrderRow = {
  id: string;
  authority_id: string;
  environment: string;
  region: string;
  csr: Uint8Array;
  names: string;
  asked_by: string;
  asker_role: string | null;
  first_asked_by: string | null;
  profile: string;
  approvals: number;
  approval_role: string | null;
  granted_ms: number | null;
  longest_ms: number | null;
  purposes: string;
  status: string;
  url: string | null;
  renews_issuer: string | null;
  renews_serial: Uint8Array | null;
  replaces: string | null;
  endpoint_id: string | null;
  attempts: number;
  due_at: number;
  detail: string | null;
  certificate_issuer: string | null;
  certificate_serial: Uint8Array | null;
  created_at: number;
};

const tables = (queries: Queries) =>
  queries.withTables<{ external_orders: OrderRow; external_answers: { token: string; order_id: string; answer: string } }>();

function fromOrder(order: ExternalOrder): OrderRow {
  const { id, environment, region, csr, status, url, replaces, attempts, detail, profile, approvals } = order;
  return {
    id,
    environment,
    region,
    csr,
    status,
    url,
    replaces,
    attempts,
    detail,
    profile,
    approvals: approvals?.count ?? 0,
    approval_role: approvals?.role ?? null,
    authority_id: order.authorityId,
    names: JSON.stringify(order.names),
    asked_by: JSON.stringify(order.askedBy),
    asker_role: order.askerRole,
    first_asked_by: JSON.stringify(order.firstAskedBy),
    granted_ms: order.grantedMs,
    longest_ms: order.longestMs,
    purposes: JSON.stringify(order.purposes),
    renews_issuer: order.renews?.issuerId ?? null,
    renews_serial: order.renews?.serial ?? null,
    endpoint_id: order.endpointId,
    due_at: order.dueAt,
    certificate_issuer: order.certificate?.issuerId ?? null,
    certificate_serial: order.certificate?.serial ?? null,
    created_at: order.createdAt,
  };
}

function toOrder(row: OrderRow): ExternalOrder {
  const { environment, region, csr, url, replaces, attempts, detail, approvals: count, approval_role: role } = row;
  const askedBy = JSON.parse(row.asked_by) as Actor;
  return {
    environment,
    region,
    csr,
    url,
    replaces,
    attempts,
    detail,
    approvals: role === null ? null : { count, role: role as Role },
    id: row.id as EntityId<'order'>,
    authorityId: row.authority_id as EntityId<'authority'>,
    names: JSON.parse(row.names) as string[],
    askedBy,
    askerRole: row.asker_role as AskerRole | null,
    firstAskedBy: row.first_asked_by === null ? askedBy : (JSON.parse(row.first_asked_by) as Actor),
    profile: row.profile as ProfileName,
    grantedMs: row.granted_ms,
    longestMs: row.longest_ms,
    purposes: JSON.parse(row.purposes) as string[],
    renews: toKey(row.renews_issuer, row.renews_serial),
    endpointId: row.endpoint_id as EntityId<'endpoint'> | null,
    status: row.status as ExternalOrderStatus,
    dueAt: row.due_at,
    certificate: toKey(row.certificate_issuer, row.certificate_serial),
    createdAt: row.created_at,
  };
}

function toKey(issuerId: string | null, serial: Uint8Array | null): ForeignKey | null {
  return issuerId === null || serial === null ? null : { issuerId: issuerId as EntityId<'authority'>, serial };
}
