import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Account } from './account.ts';
import { type AcmeAnswer, jsonAnswer, linkTo } from './answer.ts';
import type { Authorization } from './authorization.ts';
import { listAuthorizations } from './authorization-store.ts';
import type { AcmeDeps } from './deps.ts';
import { type Order, orderStatus, viewOrder } from './order.ts';
import { findOrder, listOrders } from './order-store.ts';
import { malformed, notFound } from './problems.ts';

/** @throws malformed with 404 unless the order is this account's */
export async function ownOrder(
  queries: Queries,
  account: Account,
  id: string,
): Promise<{ readonly order: Order; readonly authorizations: readonly Authorization[] }> {
  const order = await findOrder(queries, id);
  if (order === null || order.accountId !== account.id) throw notFound();
  return { order, authorizations: await listAuthorizations(queries, order.authorizations) };
}

export async function readOrder(
  { database, urls }: Pick<AcmeDeps, 'database' | 'urls'>,
  { account, id }: { readonly account: Account; readonly id: string },
  now: Instant,
): Promise<AcmeAnswer> {
  const { order, authorizations } = await ownOrder(database.queries, account, id);
  const waits = orderStatus(now, order, authorizations) === 'processing';
  return jsonAnswer(200, viewOrder(now, order, authorizations, urls), waits ? { 'retry-after': '1' } : {});
}

/** A page of the account's orders, newest first, those that came to nothing left out (RFC 8555 section 7.1.2.1). */
export async function readOrders(
  { database, urls, chaos }: Pick<AcmeDeps, 'database' | 'urls' | 'chaos'>,
  { account, id, query }: { readonly account: Account; readonly id: string; readonly query: URLSearchParams },
  now: Instant,
): Promise<AcmeAnswer> {
  if (id !== account.id) throw notFound();
  const cursor = query.get('cursor');
  if (cursor !== null && !/^order_[0-9a-z]{26}$/.test(cursor)) throw malformed('cursor is not one of a page');
  const { queries } = database;
  const page = await listOrders(queries, account.id, cursor, chaos.pageSize + 1);
  const shown = page.slice(0, chaos.pageSize);
  const known = new Map(
    (await listAuthorizations(queries, [...new Set(shown.flatMap(({ authorizations }) => authorizations))])).map((one) => [one.id, one]),
  );
  const statusOf = (order: Order) =>
    orderStatus(
      now,
      order,
      order.authorizations.flatMap((id) => known.get(id) ?? []),
    );
  const orders = shown.filter((order) => statusOf(order) !== 'invalid').map((order) => urls.order(order.id));
  const more = page.length > chaos.pageSize;
  return jsonAnswer(200, { orders }, more ? { link: linkTo(`${urls.orders(id)}?cursor=${shown.at(-1)!.id}`, 'next') } : {});
}
