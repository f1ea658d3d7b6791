import { sql } from 'kysely';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { AuditedFence } from '../audit/entry.ts';
import type { CertificateKey, CertificateRow } from './certificate-store.ts';
import type { RevocationReason } from './revocation-reason.ts';

export type SuspensionRecord = {
  readonly spiffeId: SpiffeId;
  readonly environment: string;
  readonly region: string;
  readonly reason: string;
  readonly suspendedAt: Instant;
};

type SerialKey = { readonly issuerId: EntityId<'authority'>; readonly serial: Uint8Array };

/** Puts the certificate into the revoked set and on its list. False, and nothing done, if it is revoked already. */
export async function markRevoked(
  { queries }: AuditedFence,
  key: SerialKey,
  revocation: { readonly at: Instant; readonly reason: RevocationReason; readonly crlRevision: number; readonly sequence: number },
): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('certificates')
    .set({
      revoked_at: revocation.at,
      revocation_reason: revocation.reason,
      in_revoked_set: 1,
      on_crl: 1,
      crl_revision: revocation.crlRevision,
      revoked_sequence: revocation.sequence,
    })
    .where('issuer_id', '=', key.issuerId)
    .where('serial', '=', key.serial)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** For what turned out later: the one change that a revocation may see (RFC 5280 section 5.3.1, BR 4.9.1). */
export async function changeRevocationReason(
  { queries }: AuditedFence,
  key: SerialKey,
  change: { readonly reason: RevocationReason; readonly crlRevision: number },
): Promise<void> {
  await tables(queries)
    .updateTable('certificates')
    .set({ revocation_reason: change.reason, crl_revision: change.crlRevision })
    .where('issuer_id', '=', key.issuerId)
    .where('serial', '=', key.serial)
    .execute();
}

/** `spiffeId`: whose it is, null if it names no identity; `forDrill`: only the prober has it. */
export type RevokedCertificate = CertificateKey & {
  readonly spiffeId: SpiffeId | null;
  readonly forDrill: boolean;
  readonly notAfter: Instant;
};

export async function listRevokedSet(queries: Queries): Promise<RevokedCertificate[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(revokedColumns)
    .where('in_revoked_set', '=', sql.lit(1))
    .orderBy('not_after')
    .orderBy('serial')
    .orderBy('issuer_key_sha256')
    .execute();
  return rows.map(toRevoked);
}

const revokedColumns = ['issuer_key_sha256', 'serial', 'spiffe_id', 'door', 'not_after'] as const satisfies (keyof CertificateRow)[];

function toRevoked(row: Pick<CertificateRow, (typeof revokedColumns)[number]>): RevokedCertificate {
  const { issuer_key_sha256: issuerKeySha256, serial, spiffe_id: spiffeId, door, not_after: notAfter } = row;
  return { issuerKeySha256, serial, spiffeId: spiffeId as SpiffeId | null, forDrill: door === 'drill', notAfter };
}

/** What came into the revoked set after its number `after`. */
export async function listRevokedSince(queries: Queries, after: number): Promise<RevokedCertificate[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .select(revokedColumns)
    .where('in_revoked_set', '=', sql.lit(1))
    .where('revoked_sequence', '>', after)
    .execute();
  return rows.map(toRevoked);
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

/** False if it is suspended already. */
export async function insertSuspension({ queries }: AuditedFence, suspension: SuspensionRecord): Promise<boolean> {
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

/** The identity that a column of another query names, if it is suspended: for `exists`. */
export function selectSuspendedIn(queries: Queries, column: string) {
  return tables(queries).selectFrom('suspended_identities').select('spiffe_id').where('spiffe_id', '=', sql.ref<string>(column));
}

export async function isSuspended(queries: Queries, spiffeId: SpiffeId): Promise<boolean> {
  return (await selectSuspended(queries, { spiffeId })).rows.length > 0;
}

type SuspensionRow = { spiffe_id: string; environment: string; region: string; reason: string; suspended_at: number };

const tables = (queries: Queries) => queries.withTables<{ certificates: CertificateRow; suspended_identities: SuspensionRow }>();

const selectSuspended = prepareQuery((queries, value: Values<{ spiffeId: string }>) =>
  tables(queries).selectFrom('suspended_identities').select('spiffe_id').where('spiffe_id', '=', value('spiffeId')),
);
