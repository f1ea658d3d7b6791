import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import type { ForeignKey } from './external-order.ts';
import type { Finding, ForeignCertificate } from './foreign-certificate.ts';

export async function insertForeignCertificate(queries: Queries, certificate: ForeignCertificate): Promise<void> {
  await tables(queries).insertInto('external_certificates').values(toRow(certificate)).execute();
}

export async function findForeignCertificate(queries: Queries, { issuerId, serial }: ForeignKey): Promise<ForeignCertificate | null> {
  const row = await tables(queries)
    .selectFrom('external_certificates')
    .selectAll()
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .executeTakeFirst();
  return row === undefined ? null : toForeign(row);
}

/** Those of these keys that are watched: one question for a page of a list. */
export async function findForeignCertificates(queries: Queries, keys: readonly ForeignKey[]): Promise<readonly ForeignCertificate[]> {
  if (keys.length === 0) return [];
  const rows = await tables(queries)
    .selectFrom('external_certificates')
    .selectAll()
    .where((where) =>
      where.or(keys.map(({ issuerId, serial }) => where.and([where('issuer_id', '=', issuerId), where('serial', '=', serial)]))),
    )
    .execute();
  return rows.map(toForeign);
}

/** Those that the engine has to renew and nobody renews yet: not what is to be revoked, whatever was written about its renewal meanwhile. */
export async function listDueRenewals(queries: Queries, now: Instant, limit: number): Promise<readonly ForeignCertificate[]> {
  const rows = await tables(queries)
    .selectFrom('external_certificates')
    .selectAll()
    .where(sql<boolean>`authority_id is not null and renewal is null`)
    .where('renew_at', '<=', now)
    .where(
      sql<boolean>`not exists (select 1 from external_revocations as r
        where r.issuer_id = external_certificates.issuer_id and r.serial = external_certificates.serial and r.status = 'asked')`,
    )
    .orderBy('renew_at')
    .limit(limit)
    .execute();
  return rows.map(toForeign);
}

/** Claims the renewal for an order. False, and nothing done, if another order has it. */
export async function claimRenewal(queries: Queries, { issuerId, serial }: ForeignKey, order: EntityId<'order'>): Promise<boolean> {
  const result = await tables(queries)
    .updateTable('external_certificates')
    .set({ renewal: order })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('renewal', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** The order came to nothing: the engine tries anew at that time. */
export async function releaseRenewal(
  queries: Queries,
  { issuerId, serial }: ForeignKey,
  { order, renewAt }: { readonly order: EntityId<'order'>; readonly renewAt: Instant },
): Promise<void> {
  await tables(queries)
    .updateTable('external_certificates')
    .set({ renewal: null, renew_at: renewAt })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('renewal', '=', order)
    .execute();
}

/** Nobody could ask for it now: the engine tries anew at that time, unless somebody did meanwhile. */
export async function postponeRenewal(queries: Queries, { issuerId, serial }: ForeignKey, renewAt: Instant): Promise<void> {
  await tables(queries)
    .updateTable('external_certificates')
    .set({ renew_at: renewAt })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('renewal', 'is', null)
    .execute();
}

/** Takes what is due for a look, for the taker alone until `until`. */
export async function takeDueChecks(
  queries: Queries,
  { now, until, limit }: { readonly now: Instant; readonly until: Instant; readonly limit: number },
): Promise<readonly ForeignCertificate[]> {
  const rows = await tables(queries)
    .selectFrom('external_certificates')
    .selectAll()
    .where('check_at', '<=', now)
    .orderBy('check_at')
    .limit(limit)
    .execute();
  const taken: ForeignCertificate[] = [];
  for (const row of rows) {
    const mine = { ...toForeign(row), checkAt: until };
    if (await updateWatch(queries, mine, row.check_at)) taken.push(mine);
  }
  return taken;
}

/** Stores what the watch found. False, and nothing done, if somebody else took it since. */
export async function updateWatch(queries: Queries, certificate: ForeignCertificate, heldUntil: Instant): Promise<boolean> {
  const { issuerId, serial, renewAt, checkAt, renewalInfoAt, finding, findingDetail, findingAt } = certificate;
  const result = await tables(queries)
    .updateTable('external_certificates')
    .set({
      renew_at: renewAt,
      check_at: checkAt,
      renewal_info_at: renewalInfoAt,
      finding,
      finding_detail: findingDetail,
      finding_at: findingAt,
    })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('check_at', '=', heldUntil)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Another certificate stands in its place, so it is looked at no more. */
export async function markSuperseded(queries: Queries, { issuerId, serial }: ForeignKey, now: Instant): Promise<void> {
  await tables(queries)
    .updateTable('external_certificates')
    .set({ check_at: NEVER, finding: 'superseded', finding_detail: null, finding_at: now })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .execute();
}

/**
 * Its CA says that it revoked it, because we asked: who asked has decided that it is not replaced by itself, and there is nothing left to look at.
 * It stands on no list of ours.
 */
export async function markRevokedThere(
  queries: Queries,
  { issuerId, serial }: ForeignKey,
  { at, reason }: { readonly at: Instant; readonly reason: RevocationReason },
): Promise<void> {
  await tables(queries)
    .updateTable('certificates')
    .set({ revoked_at: at, revocation_reason: reason })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('revoked_at', 'is', null)
    .execute();
  const finding_detail = `${reason} at ${new Date(at).toISOString()}`;
  await tables(queries)
    .updateTable('external_certificates')
    .set({ check_at: NEVER, renew_at: NEVER, finding: 'revoked', finding_detail, finding_at: at })
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .where('finding', '!=', 'superseded')
    .execute();
}

/** As far ahead as an instant goes. */
export const NEVER: Instant = 8_640_000_000_000_000;

type Row = {
  issuer_id: string;
  serial: Uint8Array;
  environment: string;
  region: string;
  authority_id: string | null;
  chain: string;
  not_after: number;
  renew_at: number;
  check_at: number;
  renewal_info_at: number;
  endpoint_id: string | null;
  renewal: string | null;
  finding: string;
  finding_detail: string | null;
  finding_at: number;
};

type RevokedRow = { issuer_id: string; serial: Uint8Array; revoked_at: number | null; revocation_reason: string | null };

const tables = (queries: Queries) => queries.withTables<{ external_certificates: Row; certificates: RevokedRow }>();

function toRow(certificate: ForeignCertificate): Row {
  const { environment, region, serial, chain, renewal, finding } = certificate;
  return {
    environment,
    region,
    serial,
    chain,
    renewal,
    finding,
    issuer_id: certificate.issuerId,
    authority_id: certificate.authorityId,
    not_after: certificate.notAfter,
    renew_at: certificate.renewAt,
    check_at: certificate.checkAt,
    renewal_info_at: certificate.renewalInfoAt,
    endpoint_id: certificate.endpointId,
    finding_detail: certificate.findingDetail,
    finding_at: certificate.findingAt,
  };
}

function toForeign(row: Row): ForeignCertificate {
  const { environment, region, serial, chain } = row;
  return {
    environment,
    region,
    serial,
    chain,
    issuerId: row.issuer_id as EntityId<'authority'>,
    authorityId: row.authority_id as EntityId<'authority'> | null,
    notAfter: row.not_after,
    renewAt: row.renew_at,
    checkAt: row.check_at,
    renewalInfoAt: row.renewal_info_at,
    endpointId: row.endpoint_id as EntityId<'endpoint'> | null,
    renewal: row.renewal as EntityId<'order'> | null,
    finding: row.finding as Finding,
    findingDetail: row.finding_detail,
    findingAt: row.finding_at,
  };
}
