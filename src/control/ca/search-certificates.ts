import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { type CertificateRecord, type CertificateRow, type CertificateStatus, toCertificate } from './certificate-store.ts';

export type CertificateSearch = {
  readonly scope: Scope;
  readonly spiffeId: SpiffeId | null;
  readonly status: CertificateStatus | 'revoked' | null;
  readonly proxyId: EntityId<'proxy'> | null;
  /** `next` of the page before. */
  readonly before: string | null;
  readonly limit: number;
};

/** Certificates, newest first, a page at a time. */
export async function searchCertificates(
  queries: Queries,
  search: CertificateSearch,
): Promise<{ readonly certificates: readonly CertificateRecord[]; readonly next: string | null }> {
  const { scope, spiffeId, status, proxyId, before, limit } = search;
  let query = tables(queries)
    .selectFrom('certificates')
    .selectAll()
    .orderBy('reserved_at', 'desc')
    .orderBy('serial', 'desc')
    .limit(limit + 1);
  if (scope !== '*') query = query.where('environment', 'in', [...scope]);
  if (spiffeId !== null) query = query.where('spiffe_id', '=', spiffeId);
  if (status === 'revoked') query = query.where('revoked_at', 'is not', null);
  else if (status !== null) query = query.where('status', '=', status);
  if (proxyId !== null) query = query.where('proxy_id', '=', proxyId);
  if (before !== null) {
    const [at, serial] = before.split('-');
    query = query.where((where) =>
      where.or([
        where('reserved_at', '<', Number(at)),
        where.and([where('reserved_at', '=', Number(at)), where('serial', '<', Buffer.from(serial!, 'hex'))]),
      ]),
    );
  }
  const rows = await query.execute();
  const page = rows.slice(0, limit).map(toCertificate);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? `${last.reservedAt}-${Buffer.from(last.serial).toString('hex')}` : null;
  return { certificates: page, next };
}

/** Every certificate of this serial: of one issuer, or of all. */
export async function findBySerial(
  queries: Queries,
  serial: Uint8Array,
  issuerId: EntityId<'authority'> | null,
): Promise<readonly CertificateRecord[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .selectAll()
    // The index begins with the issuer; of those there are few.
    .where('issuer_id', 'in', (inner) => {
      const ids = inner.selectFrom('authorities').select('id');
      return issuerId === null ? ids : ids.where('id', '=', issuerId);
    })
    .where('serial', '=', serial)
    .execute();
  return rows.map(toCertificate);
}

const tables = (queries: Queries) => queries.withTables<{ certificates: CertificateRow; authorities: { id: string } }>();
