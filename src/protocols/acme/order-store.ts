import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Identifier } from './identifier.ts';
import type { Order } from './order.ts';
import type { ProblemDocument } from './problems.ts';

export async function insertOrder(queries: Queries, order: Order): Promise<void> {
  await tables(queries)
    .insertInto('acme_orders')
    .values({
      id: order.id,
      account_id: order.accountId,
      environment: order.environment,
      region: order.region,
      status: order.status,
      profile: order.profile,
      identifiers: JSON.stringify(order.identifiers),
      authorizations: JSON.stringify(order.authorizations),
      replaces: order.replaces,
      error: null,
      processing_at: null,
      issuer_key_sha256: null,
      serial: null,
      created_at: order.createdAt,
      expires_at: order.expiresAt,
    })
    .execute();
}

export async function findOrder(queries: Queries, id: string): Promise<Order | null> {
  const row = await tables(queries).selectFrom('acme_orders').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toOrder(row);
}

/** Newest first, from below `before` on. */
export async function listOrders(queries: Queries, accountId: string, before: string | null, limit: number): Promise<Order[]> {
  let query = tables(queries).selectFrom('acme_orders').selectAll().where('account_id', '=', accountId);
  if (before !== null) query = query.where('id', '<', before);
  return (await query.orderBy('id', 'desc').limit(limit).execute()).map(toOrder);
}

/** The order that the certificate of this serial was issued for; null: it came by another door. Serials have 128 random bits, whoever signs. */
export async function findOrderOfCertificate(queries: Queries, serial: Uint8Array): Promise<Order | null> {
  const row = await tables(queries).selectFrom('acme_orders').selectAll().where('serial', '=', serial).executeTakeFirst();
  return row === undefined ? null : toOrder(row);
}

/** Orders that name this certificate as their predecessor. */
export async function listReplacements(queries: Queries, replaces: string): Promise<Order[]> {
  const rows = await tables(queries).selectFrom('acme_orders').selectAll().where('replaces', '=', replaces).orderBy('id').execute();
  return rows.map(toOrder);
}

/** From open to processing; false, and nothing done, if it is not open any more. */
export async function beginIssuance(queries: Queries, id: EntityId<'order'>, now: Instant): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_orders')
    .set({ status: 'processing', processing_at: now })
    .where('id', '=', id)
    .where('status', '=', 'open')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** From processing to what came of it. */
export async function endIssuance(
  queries: Queries,
  id: EntityId<'order'>,
  outcome: { readonly certificate: NonNullable<Order['certificate']> } | { readonly error: ProblemDocument },
): Promise<void> {
  await tables(queries)
    .updateTable('acme_orders')
    .set(
      'error' in outcome
        ? { status: 'invalid', error: JSON.stringify(outcome.error) }
        : { status: 'valid', issuer_key_sha256: outcome.certificate.issuerKeySha256, serial: outcome.certificate.serial },
    )
    .where('id', '=', id)
    .where('status', '=', 'processing')
    .execute();
}

/** Deletes what came to nothing and ended before `before`, at most `limit` rows. */
export async function pruneOrders(queries: Queries, before: Instant, limit: number): Promise<void> {
  await tables(queries)
    .deleteFrom('acme_orders')
    .where('id', 'in', (inner) =>
      inner.selectFrom('acme_orders').select('id').where('expires_at', '<', before).where('serial', 'is', null).limit(limit),
    )
    .execute();
}

type OrderRow = {
  id: string;
  account_id: string;
  environment: string;
  region: string;
  status: string;
  profile: string | null;
  identifiers: string;
  authorizations: string;
  replaces: string | null;
  error: string | null;
  processing_at: number | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
  created_at: number;
  expires_at: number;
};

const tables = (queries: Queries) => queries.withTables<{ acme_orders: OrderRow }>();

function toOrder(row: OrderRow): Order {
  const { issuer_key_sha256: issuerKeySha256, serial } = row;
  return {
    id: row.id as Order['id'],
    accountId: row.account_id as Order['accountId'],
    environment: row.environment,
    region: row.region,
    status: row.status as Order['status'],
    profile: row.profile,
    identifiers: JSON.parse(row.identifiers) as Identifier[],
    authorizations: JSON.parse(row.authorizations) as Order['authorizations'],
    replaces: row.replaces,
    error: row.error === null ? null : (JSON.parse(row.error) as ProblemDocument),
    processingAt: row.processing_at,
    certificate: issuerKeySha256 === null || serial === null ? null : { issuerKeySha256, serial },
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}
