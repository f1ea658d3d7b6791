import { sql } from 'kysely';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CertificateKey, CertificateRow } from './certificate-store.ts';
import type { RevocationReason } from './revocation-reason.ts';

export type SuspensionRecord = {
  readonly spiffeId: SpiffeId;
  readonly environment: string;
  readonly region: string;
  readonly reason: string;
  readonly suspendedAt: Instant;
};

/** One entry of a CRL. */
export type ListedRevocation = { readonly serial: Uint8Array; readonly revokedAt: Instant; readonly reason: RevocationReason };

/** A list as it was last built, and how far the truth has gone on since. */
export type CrlRecord = {
  readonly authorityId: EntityId<'authority'>;
  readonly shard: number;
  readonly revision: number;
  readonly covered: number;
  readonly number: number;
  readonly built: { readonly thisUpdate: Instant; readonly nextUpdate: Instant; readonly der: Uint8Array } | null;
};

type SerialKey = { readonly issuerId: EntityId<'authority'>; readonly serial: Uint8Array };

/** Puts the certificate into the revoked set and on its list. False, and nothing done, if it is revoked already. */
export async function markRevoked(
  queries: Queries,
  key: SerialKey,
  revocation: { readonly at: Instant; readonly reason: RevocationReason },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('certificates')
    .set({ revoked_at: revocation.at, revocation_reason: revocation.reason, in_revoked_set: 1, on_crl: 1 })
    .where('issuer_id', '=', key.issuerId)
    .where('serial', '=', key.serial)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** For what turned out later: the one change that a revocation may see (RFC 5280 section 5.3.1, BR 4.9.1). */
export async function changeRevocationReason(queries: Queries, key: SerialKey, reason: RevocationReason): Promise<void> {
  await tables(queries)
    .updateTable('certificates')
    .set({ revocation_reason: reason })
    .where('issuer_id', '=', key.issuerId)
    .where('serial', '=', key.serial)
    .execute();
}

export async function listRevokedSet(queries: Queries): Promise<CertificateKey[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(['issuer_key_sha256', 'serial'])
    .where('in_revoked_set', '=', sql.lit(1))
    .orderBy('not_after')
    .execute();
  return rows.map((row) => ({ issuerKeySha256: row.issuer_key_sha256, serial: row.serial }));
}

/** True if something in the revoked set expired before `before`. */
export async function hasExpiredInRevokedSet(queries: Queries, before: Instant): Promise<boolean> {
  const row = await tables(queries)
    .selectFrom('certificates')
    .select('serial')
    .where('in_revoked_set', '=', sql.lit(1))
    .where('not_after', '<', before)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Takes out of the revoked set what nobody accepts any more for its age. Returns how many. */
export async function dropExpiredFromRevokedSet(queries: Queries, before: Instant): Promise<number> {
  const result = await tables(queries)
    .updateTable('certificates')
    .set({ in_revoked_set: 0 })
    .where('in_revoked_set', '=', sql.lit(1))
    .where('not_after', '<', before)
    .executeTakeFirst();
  return Number(result.numUpdatedRows);
}

export async function listCrlEntries(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<ListedRevocation[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(['serial', 'revoked_at', 'revocation_reason'])
    .where('issuer_id', '=', authorityId)
    .where('crl_shard', '=', shard)
    .where('on_crl', '=', sql.lit(1))
    .orderBy('revoked_at')
    .orderBy('serial')
    .execute();
  return rows.map((row) => ({ serial: row.serial, revokedAt: row.revoked_at!, reason: row.revocation_reason as RevocationReason }));
}

/** Takes off the list what expired before `before`: an instant at which a published list still named it (RFC 5280 section 3.3). */
export async function dropExpiredFromCrl(queries: Queries, list: Pick<CrlRecord, 'authorityId' | 'shard'>, before: Instant): Promise<void> {
  await tables(queries)
    .updateTable('certificates')
    .set({ on_crl: 0 })
    .where('issuer_id', '=', list.authorityId)
    .where('crl_shard', '=', list.shard)
    .where('on_crl', '=', sql.lit(1))
    .where('not_after', '<', before)
    .execute();
}

export async function insertCrl(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<void> {
  await tables(queries)
    .insertInto('crls')
    .values({ authority_id: authorityId, shard, revision: 1, covered: 0, number: 0, this_update: null, next_update: null, der: null })
    .execute();
}

/** Says that the list of this shard must be built again. */
export async function touchCrl(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<void> {
  await tables(queries)
    .updateTable('crls')
    .set((set) => ({ revision: set('revision', '+', 1) }))
    .where('authority_id', '=', authorityId)
    .where('shard', '=', shard)
    .execute();
}

export async function findCrl(queries: Queries, authorityId: EntityId<'authority'>, shard: number): Promise<CrlRecord | null> {
  const row = await tables(queries)
    .selectFrom('crls')
    .selectAll()
    .where('authority_id', '=', authorityId)
    .where('shard', '=', shard)
    .executeTakeFirst();
  return row === undefined ? null : toCrl(row);
}

export async function listCrls(queries: Queries): Promise<CrlRecord[]> {
  const rows = await tables(queries).selectFrom('crls').selectAll().orderBy('authority_id').orderBy('shard').execute();
  return rows.map(toCrl);
}

/** Publishes a list. False, and nothing done, if another was published since `before` was read: its number would not rise. */
export async function publishCrl(
  queries: Queries,
  before: CrlRecord,
  next: Pick<CrlRecord, 'covered' | 'number'> & { readonly built: NonNullable<CrlRecord['built']> },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('crls')
    .set({
      covered: next.covered,
      number: next.number,
      this_update: next.built.thisUpdate,
      next_update: next.built.nextUpdate,
      der: next.built.der,
    })
    .where('authority_id', '=', before.authorityId)
    .where('shard', '=', before.shard)
    .where('number', '=', before.number)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False if it is suspended already. */
export async function insertSuspension(queries: Queries, suspension: SuspensionRecord): Promise<boolean> {
  const { spiffeId, environment, region, reason, suspendedAt } = suspension;
  const result = await tables(queries)
    .insertInto('suspended_identities')
    .values({ spiffe_id: spiffeId, environment, region, reason, suspended_at: suspendedAt })
    .onConflict((conflict) => conflict.column('spiffe_id').doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** False if it was not suspended. */
export async function deleteSuspension(queries: Queries, spiffeId: SpiffeId): Promise<boolean> {
  const result = await tables(queries).deleteFrom('suspended_identities').where('spiffe_id', '=', spiffeId).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

export async function listSuspensions(queries: Queries): Promise<SuspensionRecord[]> {
  const rows = await tables(queries).selectFrom('suspended_identities').selectAll().orderBy('spiffe_id').execute();
  return rows.map((row) => ({
    spiffeId: row.spiffe_id as SpiffeId,
    environment: row.environment,
    region: row.region,
    reason: row.reason,
    suspendedAt: row.suspended_at,
  }));
}

export async function isSuspended(queries: Queries, spiffeId: SpiffeId): Promise<boolean> {
  const row = await tables(queries)
    .selectFrom('suspended_identities')
    .select('spiffe_id')
    .where('spiffe_id', '=', spiffeId)
    .executeTakeFirst();
  return row !== undefined;
}

type CrlRow = {
  authority_id: string;
  shard: number;
  revision: number;
  covered: number;
  number: number;
  this_update: number | null;
  next_update: number | null;
  der: Uint8Array | null;
};

type SuspensionRow = { spiffe_id: string; environment: string; region: string; reason: string; suspended_at: number };

const tables = (queries: Queries) =>
  queries.withTables<{ certificates: CertificateRow; crls: CrlRow; suspended_identities: SuspensionRow }>();

function toCrl(row: CrlRow): CrlRecord {
  const { this_update: thisUpdate, next_update: nextUpdate, der } = row;
  return {
    authorityId: row.authority_id as EntityId<'authority'>,
    shard: row.shard,
    revision: row.revision,
    covered: row.covered,
    number: row.number,
    built: thisUpdate === null || nextUpdate === null || der === null ? null : { thisUpdate, nextUpdate, der },
  };
}
