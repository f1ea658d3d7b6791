import { type Kysely, sql } from 'kysely';

/** Orders at other CAs under the profiles and approvals of every other door, and by which token a person approved. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const orders = db.schema.alterTable('external_orders');
  await orders.addColumn('profile', 'text', (column) => column.notNull().defaultTo('server')).execute();
  // What the door proved the asker to be; null before this migration.
  await orders.addColumn('asker_role', 'text').execute();
  // Who asked for the first of a line of renewals, as JSON; null: whoever asked for this one.
  await orders.addColumn('first_asked_by', 'text').execute();
  await orders.addColumn('approvals', 'integer', (column) => column.notNull().defaultTo(0)).execute();
  await orders.addColumn('approval_role', 'text').execute();
  // The bound of the credential that asked for the first, in milliseconds; null: none.
  await orders.addColumn('granted_ms', 'bigint').execute();
  // What was decided of the certificate that comes: how long it may last (null before this migration), and its purposes as JSON.
  await orders.addColumn('longest_ms', 'bigint').execute();
  await orders.addColumn('purposes', 'text', (column) => column.notNull().defaultTo('[]')).execute();
  // The order at another CA that came of a request.
  await db.schema.alterTable('issuance_requests').addColumn('order_id', 'text').execute();
  // Of an approval of before this migration nobody knows the token: it counts no more.
  await db.schema.alterTable('issuance_approvals').addColumn('token_id', 'text').execute();
  await sql`create index issuance_requests_order on issuance_requests (order_id) where order_id is not null`.execute(db);
}
