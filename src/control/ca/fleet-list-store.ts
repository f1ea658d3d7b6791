import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CertificateRow } from './certificate-store.ts';

export type ListedSerial = { readonly serial: Uint8Array; readonly revokedAt: Instant };

/** The list of one authority as it was last made; `digest` is of its octets. */
export type FleetListRecord = {
  readonly authorityId: EntityId<'authority'>;
  readonly number: number;
  readonly digest: string;
  readonly der: Uint8Array;
};

export async function listFleetLists(queries: Queries): Promise<readonly FleetListRecord[]> {
  const rows = await tables(queries).selectFrom('fleet_lists').selectAll().execute();
  return rows.map(({ authority_id, number, digest, der }) => ({ authorityId: authority_id as EntityId<'authority'>, number, digest, der }));
}

/** Which list of each authority stands, without its octets. */
export async function listFleetListNumbers(queries: Queries): Promise<ReadonlyMap<string, number>> {
  const rows = await tables(queries).selectFrom('fleet_lists').select(['authority_id', 'number']).execute();
  return new Map(rows.map(({ authority_id, number }) => [authority_id, number]));
}

/** Puts a list in the place of the one of number `before`, or of none. False, and nothing done, if another was made meanwhile: its number would not rise. */
export async function replaceFleetList(queries: Queries, before: number | null, next: FleetListRecord): Promise<boolean> {
  const { authorityId, number, digest, der } = next;
  if (before === null) {
    const inserted = await tables(queries)
      .insertInto('fleet_lists')
      .values({ authority_id: authorityId, number, digest, der })
      .onConflict((conflict) => conflict.column('authority_id').doNothing())
      .executeTakeFirst();
    return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n;
  }
  const updated = await tables(queries)
    .updateTable('fleet_lists')
    .set({ number, digest, der })
    .where('authority_id', '=', authorityId)
    .where('number', '=', before)
    .executeTakeFirst();
  return updated.numUpdatedRows > 0n;
}

/** What is in the revoked set, or came into it after its number `after`, by authority. */
export async function listRevokedByAuthority(
  queries: Queries,
  after: number | null,
): Promise<ReadonlyMap<string, readonly ListedSerial[]>> {
  const all = tables(queries)
    .selectFrom('certificates')
    .select(['issuer_id', 'serial', 'revoked_at'])
    .where('in_revoked_set', '=', sql.lit(1));
  const rows = await (after === null ? all : all.where('revoked_sequence', '>', after)).execute();
  return new Map(
    [...Map.groupBy(rows, ({ issuer_id }) => issuer_id)].map(([id, found]) => [
      id,
      found.map(({ serial, revoked_at }) => ({ serial, revokedAt: revoked_at! })),
    ]),
  );
}

/** How many certificates are in the revoked set. */
export async function countRevokedSet(queries: Queries): Promise<number> {
  const row = await tables(queries)
    .selectFrom('certificates')
    .select(sql<number | string>`count(*)`.as('many'))
    .where('in_revoked_set', '=', sql.lit(1))
    .executeTakeFirstOrThrow();
  return Number(row.many);
}

type FleetListRow = { authority_id: string; number: number; digest: string; der: Uint8Array };

const tables = (queries: Queries) => queries.withTables<{ certificates: CertificateRow; fleet_lists: FleetListRow }>();
