import { sql } from 'kysely';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { AskerRole, Door, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { prepareInsert, prepareQuery, type Values } from '../../platform/db/prepared-query.ts';
import type { RevocationReason } from './revocation-reason.ts';

/** A certificate's identity: the key that signed it and the content octets of its serial number. Never a row id. */
export type CertificateKey = {
  /** SHA-256 of the issuer's SubjectPublicKeyInfo, lower case hex. */
  readonly issuerKeySha256: string;
  readonly serial: Uint8Array;
};

/**
 * `reserved`: the serial is taken, it may be signed at any moment. `issued`: signed and recorded. `withheld`: signed, but the identity
 * or the predecessor fell meanwhile, so it was given to nobody. `abandoned`: reserved by a process that ended; it may have been signed, but was given to nobody.
 */
export type CertificateStatus = 'reserved' | 'issued' | 'withheld' | 'abandoned';

/** Doors by which certificates of other CAs came into the inventory: nothing of ours signs, renews or revokes those. */
export const foreignDoors: readonly Door[] = ['external', 'import'];

export type CertificateNames = { readonly dns: readonly string[]; readonly ip: readonly string[] };

export type CertificateRecord = CertificateKey & {
  readonly issuerId: EntityId<'authority'>;
  readonly profile: ProfileName;
  readonly door: Door;
  readonly spiffeId: SpiffeId | null;
  readonly names: CertificateNames;
  readonly proxyId: EntityId<'proxy'> | null;
  readonly environment: string;
  readonly region: string;
  /** SHA-256 of its own SubjectPublicKeyInfo, lower case hex. */
  readonly spkiSha256: string;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  readonly status: CertificateStatus;
  readonly reservedAt: Instant;
  /** DER; null while and if it was never recorded as signed. */
  readonly der: Uint8Array | null;
  readonly revokedAt: Instant | null;
  readonly revocationReason: RevocationReason | null;
  readonly crlShard: number;
  /** Who asked, as the log calls it; null: the data plane that it is for, or nobody knows any more. */
  readonly asker: string | null;
  /** What the door proved the asker to be; null: issued before this was kept. */
  readonly askerRole: AskerRole | null;
};

export type Reservation = Omit<CertificateRecord, 'status' | 'der' | 'revokedAt' | 'revocationReason'>;

/** Takes the serial. The unique index on (issuer, serial) refuses a second one. */
export async function insertReservation(queries: Queries, reservation: Reservation): Promise<void> {
  const { issuerId: issuer_id, serial, reservedAt: reserved_at } = reservation;
  const { dns, ip } = reservation.names;
  await insertCertificates(queries, [
    {
      issuer_id,
      issuer_key_sha256: reservation.issuerKeySha256,
      serial,
      profile: reservation.profile,
      door: reservation.door,
      spiffe_id: reservation.spiffeId,
      names: JSON.stringify(reservation.names),
      proxy_id: reservation.proxyId,
      environment: reservation.environment,
      region: reservation.region,
      spki_sha256: reservation.spkiSha256,
      not_before: reservation.notBefore,
      not_after: reservation.notAfter,
      status: 'reserved',
      reserved_at,
      in_revoked_set: 0,
      on_crl: 0,
      crl_shard: reservation.crlShard,
      asker: reservation.asker,
      asker_role: reservation.askerRole,
    },
  ]);
  await insertNames(
    queries,
    [...new Set([...dns, ...ip])].map((name) => ({ name, reserved_at, serial, issuer_id })),
  );
}

/** From `reserved` to what came of it. False, and nothing done, if it is not reserved any more. */
export async function settleReservation(
  queries: Queries,
  key: { readonly issuerId: EntityId<'authority'>; readonly serial: Uint8Array },
  outcome: { readonly status: 'issued' | 'withheld'; readonly der: Uint8Array } | { readonly status: 'abandoned'; readonly der: null },
): Promise<boolean> {
  const { numAffectedRows = 0n } = await settle(queries, { ...key, ...outcome });
  return numAffectedRows > 0n;
}

/** Reservations made before `before` that came to nothing, oldest first, at most `limit`. */
export async function listStaleReservations(queries: Queries, before: Instant, limit: number): Promise<CertificateRecord[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .selectAll()
    .where('status', '=', sql.lit('reserved'))
    .where('reserved_at', '<', before)
    .orderBy('reserved_at')
    .limit(limit)
    .execute();
  return rows.map(toCertificate);
}

/** The certificate that this issuer key gave this serial to, in whatever status; null if there is none. */
export async function findCertificate(queries: Queries, issuerKeySha256: string, serial: Uint8Array): Promise<CertificateRecord | null> {
  const [row] = (await selectCertificate(queries, { issuerKeySha256, serial })).rows;
  return row === undefined ? null : toCertificate(row);
}

/** The DER of what this authority issued under this serial; null if that is nothing. */
export async function findIssued(queries: Queries, issuerId: EntityId<'authority'>, serial: Uint8Array): Promise<Uint8Array | null> {
  return (await selectIssued(queries, { issuerId, serial })).rows[0]?.der ?? null;
}

/** What is so of a certificate, without the certificate. */
export type CertificateStanding = Pick<CertificateRecord, 'status' | 'revokedAt' | 'revocationReason'>;

/** Null if the authority gave this serial to none. */
export async function findStanding(
  queries: Queries,
  issuerId: EntityId<'authority'>,
  serial: Uint8Array,
): Promise<CertificateStanding | null> {
  const [row] = (await selectStanding(queries, { issuerId, serial })).rows;
  if (row === undefined) return null;
  const { status, revoked_at: revokedAt, revocation_reason: reason } = row;
  return { status: status as CertificateStatus, revokedAt, revocationReason: reason as RevocationReason | null };
}

/** True if a certificate for this key was revoked because the key is known to others: nothing is issued for it any more. */
export async function isKeyCompromised(queries: Queries, spkiSha256: string): Promise<boolean> {
  return (await selectCompromised(queries, { spkiSha256 })).rows.length > 0;
}

/** Every certificate of this serial, whoever its issuer is: one, unless two authorities drew the same 128 bits. */
export async function findCertificatesBySerial(queries: Queries, serial: Uint8Array): Promise<CertificateRecord[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .selectAll()
    .where('issuer_id', 'in', (inner) => inner.selectFrom('authorities').select('id'))
    .where('serial', '=', serial)
    .execute();
  return rows.map(toCertificate);
}

export type CertificateRow = {
  issuer_id: string;
  issuer_key_sha256: string;
  serial: Uint8Array;
  profile: string;
  door: string;
  spiffe_id: string | null;
  names: string;
  proxy_id: string | null;
  environment: string;
  region: string;
  spki_sha256: string;
  not_before: number;
  not_after: number;
  status: string;
  reserved_at: number;
  der: Uint8Array | null;
  revoked_at: number | null;
  revocation_reason: string | null;
  in_revoked_set: number;
  on_crl: number;
  crl_shard: number;
  crl_revision: number | null;
  revoked_sequence: number | null;
  asker: string | null;
  asker_role: string | null;
};

/** One row a DNS name or address of a certificate, to be found by it. */
export type CertificateNameRow = { name: string; reserved_at: number; serial: Uint8Array; issuer_id: string };

const tables = (queries: Queries) =>
  queries.withTables<{
    certificates: CertificateRow;
    certificate_names: CertificateNameRow;
    authorities: { id: string; spki_sha256: string };
  }>();

const insertCertificates = prepareInsert<
  Omit<CertificateRow, 'der' | 'revoked_at' | 'revocation_reason' | 'crl_revision' | 'revoked_sequence'>
>('certificates', [
  'issuer_id',
  'issuer_key_sha256',
  'serial',
  'profile',
  'door',
  'spiffe_id',
  'names',
  'proxy_id',
  'environment',
  'region',
  'spki_sha256',
  'not_before',
  'not_after',
  'status',
  'reserved_at',
  'in_revoked_set',
  'on_crl',
  'crl_shard',
  'asker',
  'asker_role',
]);

const insertNames = prepareInsert<CertificateNameRow>('certificate_names', ['name', 'reserved_at', 'serial', 'issuer_id']);

const settle = prepareQuery(
  (queries, value: Values<{ issuerId: string; serial: Uint8Array; status: CertificateStatus; der: Uint8Array | null }>) =>
    tables(queries)
      .updateTable('certificates')
      .set({ status: value('status'), der: value('der') })
      .where('issuer_id', '=', value('issuerId'))
      .where('serial', '=', value('serial'))
      .where('status', '=', sql.lit('reserved')),
);

const selectCertificate = prepareQuery((queries, value: Values<CertificateKey>) =>
  tables(queries)
    .selectFrom('certificates')
    .selectAll()
    .where('issuer_id', 'in', (inner) => inner.selectFrom('authorities').select('id').where('spki_sha256', '=', value('issuerKeySha256')))
    .where('serial', '=', value('serial')),
);

const selectIssued = prepareQuery((queries, value: Values<{ issuerId: string; serial: Uint8Array }>) =>
  tables(queries)
    .selectFrom('certificates')
    .select('der')
    .where('issuer_id', '=', value('issuerId'))
    .where('serial', '=', value('serial'))
    .where('status', '=', sql.lit('issued')),
);

const selectStanding = prepareQuery((queries, value: Values<{ issuerId: string; serial: Uint8Array }>) =>
  tables(queries)
    .selectFrom('certificates')
    .select(['status', 'revoked_at', 'revocation_reason'])
    .where('issuer_id', '=', value('issuerId'))
    .where('serial', '=', value('serial')),
);

const selectCompromised = prepareQuery((queries, value: Values<{ spkiSha256: string }>) =>
  tables(queries)
    .selectFrom('certificates')
    .select('serial')
    .where('revocation_reason', '=', sql.lit('keyCompromise'))
    .where('spki_sha256', '=', value('spkiSha256'))
    .limit(sql.lit(1)),
);

export function toCertificate(row: CertificateRow): CertificateRecord {
  return {
    issuerId: row.issuer_id as EntityId<'authority'>,
    issuerKeySha256: row.issuer_key_sha256,
    serial: row.serial,
    profile: row.profile as ProfileName,
    door: row.door as Door,
    spiffeId: row.spiffe_id as SpiffeId | null,
    names: JSON.parse(row.names) as CertificateNames,
    proxyId: row.proxy_id as EntityId<'proxy'> | null,
    environment: row.environment,
    region: row.region,
    spkiSha256: row.spki_sha256,
    notBefore: row.not_before,
    notAfter: row.not_after,
    status: row.status as CertificateStatus,
    reservedAt: row.reserved_at,
    der: row.der,
    revokedAt: row.revoked_at,
    revocationReason: row.revocation_reason as RevocationReason | null,
    crlShard: row.crl_shard,
    asker: row.asker,
    askerRole: row.asker_role as AskerRole | null,
  };
}
