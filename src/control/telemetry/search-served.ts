import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateRecord, toCertificate } from '../ca/certificate-store.ts';
import { type CertificateFilter, certificateQuery } from '../ca/search-certificates.ts';
import type { ServedRow } from './store.ts';

/** Where a certificate was last seen served. */
export type Serving = { readonly proxyId: EntityId<'proxy'>; readonly endpointId: EntityId<'endpoint'>; readonly seenAt: Instant };

/** Certificates that some proxy says it serves, or that none does, in the order of `listCertificates`. */
export async function searchServed(queries: Queries, filter: CertificateFilter, served: 'yes' | 'no'): Promise<CertificateRecord[]> {
  if (filter.environments !== '*' && filter.environments.length === 0) return [];
  return (await servedQuery(queries, filter, served).execute()).map(toCertificate);
}

/**
 * The query of a page; its plan is examined. What is served is as many as proxies have endpoints, and is looked up by serial; what is not is found in the order
 * of the list, where no more can be passed over than is served.
 */
export function servedQuery(queries: Queries, filter: CertificateFilter, served: 'yes' | 'no') {
  const reported = tables(queries).selectFrom('telemetry_served');
  const own = reported
    .select(sql`1`.as('one'))
    .whereRef('telemetry_served.serial_octets', '=', sql.ref('certificates.serial'))
    .whereRef('telemetry_served.issuer_key_sha256', '=', sql.ref('certificates.issuer_key_sha256'));
  if (served === 'no') return certificateQuery(queries, filter).where(({ not, exists }) => not(exists(own)));
  const serials = reported.select('serial_octets').where('serial_octets', 'is not', null).$castTo<{ serial_octets: Uint8Array }>();
  return certificateQuery(queries, { ...filter, isFew: true })
    .where('certificates.issuer_id', 'in', tables(queries).selectFrom('authorities').select('id'))
    .where('certificates.serial', 'in', serials)
    .where(({ exists }) => exists(own));
}

/** Who serves these certificates, by serial in hex; none: nobody says so. */
export async function readServing(
  queries: Queries,
  certificates: readonly Pick<CertificateRecord, 'issuerKeySha256' | 'serial'>[],
): Promise<ReadonlyMap<string, readonly Serving[]>> {
  if (certificates.length === 0) return new Map();
  const rows = await tables(queries)
    .selectFrom('telemetry_served')
    .selectAll()
    .where(
      'serial_octets',
      'in',
      certificates.map(({ serial }) => serial),
    )
    .orderBy('seen_at', 'desc')
    .execute();
  const keys = new Set(certificates.map(({ issuerKeySha256, serial }) => `${issuerKeySha256} ${Buffer.from(serial).toString('hex')}`));
  const own = rows.filter((row) => keys.has(`${row.issuer_key_sha256} ${row.serial}`));
  const bySerial = Map.groupBy(own, ({ serial }) => serial);
  return new Map(
    [...bySerial].map(([serial, seen]) => [
      serial,
      seen.map(({ proxy_id: proxyId, endpoint_id: endpointId, seen_at: seenAt }) => ({ proxyId, endpointId, seenAt })),
    ]),
  );
}

type NullableServed = Omit<ServedRow, 'serial_octets'> & { readonly serial_octets: Uint8Array | null };

const tables = (queries: Queries) => queries.withTables<{ telemetry_served: NullableServed; authorities: { id: string } }>();
