import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Actor } from '../audit/entry.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import type { ForeignKey } from './external-order.ts';
import type { ForeignRevocation, ForeignRevocationStatus } from './foreign-revocation.ts';

export async function findForeignRevocation(queries: Queries, { issuerId, serial }: ForeignKey): Promise<ForeignRevocation | null> {
  const row = await tables(queries)
    .selectFrom('external_revocations')
    .selectAll()
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .executeTakeFirst();
  return row === undefined ? null : toRevocation(row);
}

/** Those of these certificates that another CA was asked to revoke: one question for a page of a list. */
export async function findForeignRevocations(queries: Queries, keys: readonly ForeignKey[]): Promise<readonly ForeignRevocation[]> {
  if (keys.length === 0) return [];
  const rows = await tables(queries)
    .selectFrom('external_revocations')
    .selectAll()
    .where((where) =>
      where.or(keys.map(({ issuerId, serial }) => where.and([where('issuer_id', '=', issuerId), where('serial', '=', serial)]))),
    )
    .execute();
  return rows.map(toRevocation);
}

/** Whether another CA is being asked to revoke a certificate of this key because others know it: until it has answered, no list says so. */
export async function isSaidCompromised(queries: Queries, spkiSha256: string): Promise<boolean> {
  const row = await queries
    .withTables<{ external_revocations: Row; certificates: { issuer_id: string; serial: Uint8Array; spki_sha256: string } }>()
    .selectFrom('external_revocations as asked')
    .innerJoin('certificates as held', (join) =>
      join.onRef('held.issuer_id', '=', 'asked.issuer_id').onRef('held.serial', '=', 'asked.serial'),
    )
    .select('asked.serial')
    .where(sql<boolean>`asked.status = 'asked'`)
    .where('asked.reason', '=', 'keyCompromise')
    .where('held.spki_sha256', '=', spkiSha256)
    .executeTakeFirst();
  return row !== undefined;
}

/** Puts it in the place of one that failed. */
export async function putForeignRevocation(queries: Queries, revocation: ForeignRevocation): Promise<void> {
  const row = fromRevocation(revocation);
  await tables(queries)
    .insertInto('external_revocations')
    .values(row)
    .onConflict((conflict) => conflict.columns(['issuer_id', 'serial']).doUpdateSet(row))
    .execute();
}

/** False, and nothing done, if somebody else changed or took it since `held` was read. */
export async function updateForeignRevocation(queries: Queries, next: ForeignRevocation, held: ForeignRevocation): Promise<boolean> {
  const { issuer_id: issuerId, serial, ...row } = fromRevocation(next);
  const result = await tables(queries)
    .updateTable('external_revocations')
    .set(row)
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('status', '=', held.status)
    .where('due_at', '=', held.dueAt)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Takes what is due, for the taker alone until `until`. */
export async function takeDueRevocations(
  queries: Queries,
  { now, until, limit }: { readonly now: Instant; readonly until: Instant; readonly limit: number },
): Promise<readonly ForeignRevocation[]> {
  const rows = await tables(queries)
    .selectFrom('external_revocations')
    .selectAll()
    // Written out, so that the index of the open ones is used.
    .where(sql<boolean>`status = 'asked'`)
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .limit(limit)
    .execute();
  const taken: ForeignRevocation[] = [];
  for (const held of rows.map(toRevocation)) {
    const mine = { ...held, dueAt: until };
    if (await updateForeignRevocation(queries, mine, held)) taken.push(mine);
  }
  return taken;
}

/** Puts another name in the place of a person's in every revocation. */
export async function renameRevoker(queries: Queries, name: string, instead: string): Promise<number> {
  const [held, next] = [name, instead].map((one) => JSON.stringify({ kind: 'person', name: one } satisfies Actor)) as [string, string];
  const result = await tables(queries)
    .updateTable('external_revocations')
    .set({ asked_by: next })
    .where('asked_by', '=', held)
    .executeTakeFirst();
  return Number(result.numUpdatedRows);
}

type Row = {
  issuer_id: string;
  serial: Uint8Array;
  authority_id: string;
  environment: string;
  region: string;
  reason: string;
  asked_by: string;
  status: string;
  attempts: number;
  due_at: number;
  detail: string | null;
};

const tables = (queries: Queries) => queries.withTables<{ external_revocations: Row }>();

function fromRevocation(revocation: ForeignRevocation): Row {
  const { serial, environment, region, reason, status, attempts, detail } = revocation;
  return {
    serial,
    environment,
    region,
    reason,
    status,
    attempts,
    detail,
    issuer_id: revocation.issuerId,
    authority_id: revocation.authorityId,
    asked_by: JSON.stringify(revocation.askedBy),
    due_at: revocation.dueAt,
  };
}

function toRevocation(row: Row): ForeignRevocation {
  const { serial, environment, region, attempts, detail } = row;
  return {
    serial,
    environment,
    region,
    attempts,
    detail,
    issuerId: row.issuer_id as EntityId<'authority'>,
    authorityId: row.authority_id as EntityId<'authority'>,
    reason: row.reason as RevocationReason,
    askedBy: JSON.parse(row.asked_by) as Actor,
    status: row.status as ForeignRevocationStatus,
    dueAt: row.due_at,
  };
}
