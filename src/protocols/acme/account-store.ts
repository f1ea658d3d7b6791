import { sql } from 'kysely';
import type { Role } from '../../control/access/role.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { Account } from './account.ts';

/** False, and nothing done, if the key is another account's. */
export async function insertAccount(queries: Queries, account: Account): Promise<boolean> {
  const { id, environment, region, thumbprint, status, terms, binding } = account;
  const result = await tables(queries)
    .insertInto('acme_accounts')
    .values({
      id,
      environment,
      region,
      jwk: JSON.stringify(account.jwk),
      thumbprint,
      contacts: JSON.stringify(account.contacts),
      status,
      terms,
      binding: binding === null ? null : JSON.stringify(binding.jws),
      binding_token: binding?.tokenId ?? null,
      role: binding?.role ?? null,
      created_at: account.createdAt,
    })
    .onConflict((conflict) => conflict.column('thumbprint').doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function findAccount(queries: Queries, id: string): Promise<Account | null> {
  const [row] = (await selectAccount(queries, { id })).rows;
  return row === undefined ? null : toAccount(row);
}

/** With which a commit that changes accounts has to be alone: all of them move the one revision. */
export const ALL_ACCOUNTS = 'acme-accounts';

/** Grows in the commit of every change of an account that is there, whoever makes it: the database sees to it (migration 0023). */
export async function readAccountRevision(queries: Queries): Promise<number> {
  return (await selectRevision(queries, {})).rows[0]!.value;
}

/** By RFC 7638 thumbprint of the account's current key. */
export async function findAccountByKey(queries: Queries, thumbprint: string): Promise<Account | null> {
  const row = await tables(queries).selectFrom('acme_accounts').selectAll().where('thumbprint', '=', thumbprint).executeTakeFirst();
  return row === undefined ? null : toAccount(row);
}

/** False, and nothing done, if the account is not valid any more. */
export async function updateAccount(
  queries: Queries,
  id: EntityId<'account'>,
  change: Partial<Pick<Account, 'contacts' | 'terms' | 'status'>>,
): Promise<boolean> {
  const { contacts, ...rest } = change;
  const result = await tables(queries)
    .updateTable('acme_accounts')
    .set({ ...rest, ...(contacts === undefined ? {} : { contacts: JSON.stringify(contacts) }) })
    .where('id', '=', id)
    .where('status', '=', 'valid')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Accounts of any standing that name this contact, in lower case. */
export async function listAccountsWithContact(queries: Queries, contact: string): Promise<Account[]> {
  const rows = await tables(queries)
    .selectFrom('acme_accounts')
    .selectAll()
    .where(sql<boolean>`replace(lower(contacts), ${JSON.stringify(contact)}, '') <> lower(contacts)`)
    .execute();
  return rows.map(toAccount);
}

export async function setContacts(queries: Queries, id: EntityId<'account'>, contacts: readonly string[]): Promise<void> {
  await tables(queries)
    .updateTable('acme_accounts')
    .set({ contacts: JSON.stringify(contacts) })
    .where('id', '=', id)
    .execute();
}

/** From the old key to the new one; false, and nothing done, if the account has another key by now. The new key must be nobody's. */
export async function changeAccountKey(
  queries: Queries,
  id: EntityId<'account'>,
  keys: { readonly from: string; readonly to: Pick<Account, 'jwk' | 'thumbprint'> },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('acme_accounts')
    .set({ jwk: JSON.stringify(keys.to.jwk), thumbprint: keys.to.thumbprint })
    .where('id', '=', id)
    .where('status', '=', 'valid')
    .where('thumbprint', '=', keys.from)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

type AccountRow = {
  id: string;
  environment: string;
  region: string;
  jwk: string;
  thumbprint: string;
  contacts: string;
  status: string;
  terms: string | null;
  binding: string | null;
  binding_token: string | null;
  role: string | null;
  created_at: number;
};

const tables = (queries: Queries) =>
  queries.withTables<{ acme_accounts: AccountRow; acme_account_revision: { id: number; value: number } }>();

const selectAccount = prepareQuery((queries, value: Values<{ id: string }>) =>
  tables(queries).selectFrom('acme_accounts').selectAll().where('id', '=', value('id')),
);

const selectRevision = prepareQuery((queries) => tables(queries).selectFrom('acme_account_revision').select('value'));

function toAccount(row: AccountRow): Account {
  const { binding, binding_token: tokenId, role } = row;
  return {
    id: row.id as EntityId<'account'>,
    environment: row.environment,
    region: row.region,
    jwk: JSON.parse(row.jwk) as Account['jwk'],
    thumbprint: row.thumbprint,
    contacts: JSON.parse(row.contacts) as string[],
    status: row.status as Account['status'],
    terms: row.terms,
    binding: binding === null ? null : { jws: JSON.parse(binding) as unknown, tokenId: tokenId as EntityId<'token'>, role: role as Role },
    createdAt: row.created_at,
  };
}
