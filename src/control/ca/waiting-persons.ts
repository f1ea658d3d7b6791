import { type RawBuilder, sql, type SqlBool } from 'kysely';
import type { Queries } from '../../platform/db/database.ts';
import type { WaitingContent } from './waiting-request.ts';
import { waitingTables } from './waiting-store.ts';

/** Ids of what has not ended and was asked for or approved of by these. */
export async function listOpenOf(
  queries: Queries,
  { asker, approver }: { readonly asker: string; readonly approver: string },
): Promise<readonly string[]> {
  const tables = waitingTables(queries);
  const approved = await tables.selectFrom('issuance_approvals').select('request_id').where('approver', '=', approver).execute();
  const judged = new Set(approved.map(({ request_id: id }) => id));
  const rows = await tables
    .selectFrom('issuance_requests')
    .select(['id', 'content'])
    .where('settled_at', 'is', null)
    .where((where) => where.or([where('asker', '=', asker), mentions(asker), where('id', 'in', ['', ...judged])]))
    .orderBy('id')
    .execute();
  return rows.filter(({ id, content }) => judged.has(id) || isFor(contentOfRow(content), asker)).map(({ id }) => id);
}

/** Takes a person's name from what they asked for, or had a device ask for, and has ended; of how many requests. */
export async function erasePersonOfSettled(queries: Queries, name: string, instead: string): Promise<number> {
  const rows = await waitingTables(queries)
    .selectFrom('issuance_requests')
    .select(['id', 'asker', 'content'])
    .where('settled_at', 'is not', null)
    .where((where) => where.or([where('asker', '=', name), mentions(name)]))
    .execute();
  const theirs = rows.filter(({ content }) => isFor(contentOfRow(content), name));
  for (const { id, asker, content } of theirs) {
    const held = contentOfRow(content);
    const named = held.asker.name === name ? { ...held.asker, name: instead } : held.asker;
    const actor = held.actor.name === name ? { ...held.actor, name: instead } : held.actor;
    const erased = JSON.stringify({ ...held, asker: named, actor } satisfies WaitingContent);
    const by = asker === name ? instead : asker;
    await waitingTables(queries).updateTable('issuance_requests').set({ asker: by, content: erased }).where('id', '=', id).execute();
  }
  return theirs.length;
}

/** Takes a person's name from approvals; of how many. */
export async function eraseJudges(queries: Queries, approver: string, instead: string): Promise<number> {
  const approvals = waitingTables(queries).selectFrom('issuance_approvals').select('request_id');
  // Two whom the log does not know are erased by the same word, and one of them is enough.
  const twice = await waitingTables(queries)
    .deleteFrom('issuance_approvals')
    .where('approver', '=', approver)
    .where('request_id', 'in', approvals.where('approver', '=', instead))
    .executeTakeFirst();
  const changed = await waitingTables(queries)
    .updateTable('issuance_approvals')
    .set({ approver: instead })
    .where('approver', '=', approver)
    .executeTakeFirst();
  return Number(twice.numDeletedRows) + Number(changed.numUpdatedRows);
}

/** Whether a person of this name asked, or made what a device asked by. A pipeline may bear the name of a person. */
function isFor({ actor, asker }: WaitingContent, name: string): boolean {
  return (actor.kind === 'person' && actor.name === name) || (asker.name === name && asker.role !== 'ci');
}

/** True of contents in which the name may stand; in which of them it does is for who reads them. */
function mentions(name: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`content like ${`%"name":${JSON.stringify(name).replaceAll(/[!%_]/g, '!$&')}%`} escape '!'`;
}

function contentOfRow(content: string): WaitingContent {
  return JSON.parse(content) as WaitingContent;
}
