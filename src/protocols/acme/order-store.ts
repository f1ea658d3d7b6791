import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareInsert, prepareListQuery, prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { Identifier } from './identifier.ts';
import type { Order } from './order.ts';
import type { ProblemDocument } from './problems.ts';

export async function insertOrder(queries: Queries, order: Order): Promise<void> {
  await insertRows(queries, [
    {
      id: order.id,
      account_id: order.accountId,
      environment: order.environment,
      region: order.region,
      status: order.status,
      profile: order.profile,
      identifiers: JSON.stringify(order.identifiers),
      authorizations: JSON.stringify(order.authorizations),
      replaces: order.replaces,
      created_at: order.createdAt,
      expires_at: order.expiresAt,
    },
  ]);
}

export async function findOrder(queries: Queries, id: string): Promise<Order | null> {
  const [row] = (await selectOrder(queries, { id })).rows;
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

/** From open to processing; false, and nothing done, unless it is open and all its authorizations are valid now. */
export async function beginIssuance(queries: Queries, { id, authorizations }: Order, now: Instant): Promise<boolean> {
  return (await updateProcessing(queries, authorizations, { id, now, wanted: authorizations.length })).length > 0;
}

/** From processing to what came of it. */
export async function endIssuance(
  queries: Queries,
  id: EntityId<'order'>,
  outcome: { readonly certificate: NonNullable<Order['certificate']> } | { readonly error: ProblemDocument },
): Promise<void> {
  if ('error' in outcome) await updateInvalid(queries, { id, error: JSON.stringify(outcome.error) });
  else await updateValid(queries, { id, ...outcome.certificate });
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

const tables = (queries: Queries) =>
  queries.withTables<{ acme_orders: OrderRow; acme_authorizations: { id: string; status: string; expires_at: number } }>();

const insertRows = prepareInsert<Omit<OrderRow, 'error' | 'processing_at' | 'issuer_key_sha256' | 'serial'>>('acme_orders', [
  'id',
  'account_id',
  'environment',
  'region',
  'status',
  'profile',
  'identifiers',
  'authorizations',
  'replaces',
  'created_at',
  'expires_at',
]);

const selectOrder = prepareQuery((queries, value: Values<{ id: string }>) =>
  tables(queries).selectFrom('acme_orders').selectAll().where('id', '=', value('id')),
);

const updateProcessing = prepareListQuery(
  (queries, authorizations: readonly string[], value: Values<{ id: string; now: Instant; wanted: number }>) =>
    tables(queries)
      .updateTable('acme_orders')
      .set({ status: 'processing', processing_at: value('now') })
      .where('id', '=', value('id'))
      .where('status', '=', sql.lit('open'))
      .where('expires_at', '>', value('now'))
      .where(
        (of) =>
          of
            .selectFrom('acme_authorizations')
            .select(of.fn.countAll<number>().as('many'))
            .where('id', 'in', authorizations)
            .where('status', '=', sql.lit('valid'))
            .where('expires_at', '>', value('now')),
        '=',
        value('wanted'),
      )
      .returning('id'),
);

const updateValid = prepareQuery((queries, value: Values<{ id: string; issuerKeySha256: string; serial: Uint8Array }>) =>
  tables(queries)
    .updateTable('acme_orders')
    .set({ status: 'valid', issuer_key_sha256: value('issuerKeySha256'), serial: value('serial') })
    .where('id', '=', value('id'))
    .where('status', '=', sql.lit('processing')),
);

const updateInvalid = prepareQuery((queries, value: Values<{ id: string; error: string }>) =>
  tables(queries)
    .updateTable('acme_orders')
    .set({ status: 'invalid', error: value('error') })
    .where('id', '=', value('id'))
    .where('status', '=', sql.lit('processing')),
);

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
