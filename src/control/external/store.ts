import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import type { ExternalAuthorityRecord, ExternalAuthoritySettings } from './external-authority.ts';

export async function findExternalAuthority(queries: Queries, environment: string, name: string): Promise<ExternalAuthorityRecord | null> {
  const row = await tables(queries)
    .selectFrom('external_authorities')
    .selectAll()
    .where('environment', '=', environment)
    .where('name', '=', name)
    .executeTakeFirst();
  return row === undefined ? null : toAuthority(row);
}

export async function findExternalAuthorityById(queries: Queries, id: EntityId<'authority'>): Promise<ExternalAuthorityRecord | null> {
  const row = await tables(queries).selectFrom('external_authorities').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toAuthority(row);
}

export async function listExternalAuthorities(queries: Queries, scope: Scope): Promise<readonly ExternalAuthorityRecord[]> {
  const rows = await tables(queries).selectFrom('external_authorities').selectAll().orderBy('environment').orderBy('name').execute();
  return rows.filter(({ environment }) => scope === '*' || scope.includes(environment)).map(toAuthority);
}

/** Puts it in the place of the one with its id. */
export async function upsertExternalAuthority(queries: Queries, record: ExternalAuthorityRecord): Promise<void> {
  const { id, environment, region, name } = record;
  const rest = { settings: JSON.stringify(record.settings), account_url: record.accountUrl, updated_at: record.updatedAt };
  await tables(queries)
    .insertInto('external_authorities')
    .values({ id, environment, region, name, ...rest })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(rest))
    .execute();
}

/** Other contacts in a declaration that is otherwise as it was: no other account, and nothing for a session under way to notice. */
export async function setContacts(queries: Queries, id: EntityId<'authority'>, settings: ExternalAuthoritySettings): Promise<void> {
  await tables(queries)
    .updateTable('external_authorities')
    .set({ settings: JSON.stringify(settings) })
    .where('id', '=', id)
    .execute();
}

/** The CA knows the account no more: the next session registers the key again. */
export async function forgetAccount(queries: Queries, id: EntityId<'authority'>): Promise<void> {
  await tables(queries).updateTable('external_authorities').set({ account_url: null }).where('id', '=', id).execute();
}

/** Stores the account only if the declaration is still the one that it was made for. */
export async function setAccount(queries: Queries, { id, updatedAt }: ExternalAuthorityRecord, accountUrl: string): Promise<void> {
  await tables(queries)
    .updateTable('external_authorities')
    .set({ account_url: accountUrl })
    .where('id', '=', id)
    .where('updated_at', '=', updatedAt)
    .execute();
}

type AuthorityRow = {
  id: string;
  environment: string;
  region: string;
  name: string;
  settings: string;
  account_url: string | null;
  updated_at: number;
};

const tables = (queries: Queries) => queries.withTables<{ external_authorities: AuthorityRow }>();

function toAuthority(row: AuthorityRow): ExternalAuthorityRecord {
  const { environment, region, name } = row;
  const settings = readSettings(row.settings);
  return {
    id: row.id as EntityId<'authority'>,
    environment,
    region,
    name,
    settings,
    accountUrl: row.account_url,
    updatedAt: row.updated_at,
  };
}

/** Before profiles judged it, a declaration said who may ask: one that did not let all is asked for nothing until it is declared anew. */
function readSettings(text: string): ExternalAuthoritySettings {
  const { askers = [], ...settings } = JSON.parse(text) as ExternalAuthoritySettings & { readonly askers?: readonly string[] };
  return 'judgedBy' in settings
    ? settings
    : { ...(settings as ExternalAuthoritySettings), judgedBy: askers.length === 3 ? ['server'] : [] };
}
