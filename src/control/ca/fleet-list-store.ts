import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CertificateRow } from './certificate-store.ts';
import type { ListedRevocation } from './crl-store.ts';
import type { RevocationReason } from './revocation-reason.ts';

/** The list of one authority as it was last made. */
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

/** What is in the revoked set, with what a list says of it, by authority and in the order of serials. */
export async function listRevokedByAuthority(queries: Queries): Promise<ReadonlyMap<string, readonly ListedRevocation[]>> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(['issuer_id', 'serial', 'revoked_at', 'revocation_reason'])
    .where('in_revoked_set', '=', sql.lit(1))
    .execute();
  const sorted = rows.toSorted((a, b) => Buffer.compare(a.serial, b.serial));
  return new Map(
    [...Map.groupBy(sorted, ({ issuer_id }) => issuer_id)].map(([id, found]) => [
      id,
      found.map(({ serial, revoked_at, revocation_reason }) => ({
        serial,
        revokedAt: revoked_at!,
        reason: revocation_reason as RevocationReason,
      })),
    ]),
  );
}

type FleetListRow = { authority_id: string; number: number; digest: string; der: Uint8Array };

const tables = (queries: Queries) => queries.withTables<{ certificates: CertificateRow; fleet_lists: FleetListRow }>();
