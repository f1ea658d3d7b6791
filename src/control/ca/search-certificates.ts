import { sql } from 'kysely';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Door, ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import {
  type CertificateNameRow,
  type CertificateRecord,
  type CertificateRow,
  type CertificateStatus,
  foreignDoors,
  toCertificate,
} from './certificate-store.ts';

/** Which certificates. Every criterion alone is answered by an index, whatever their number (`query-plans.test.ts`). */
export type CertificateSelection = {
  readonly environments: '*' | readonly string[];
  readonly spiffeId?: SpiffeId;
  readonly proxyId?: EntityId<'proxy'>;
  /** A DNS name or address, whole, as it stands in the certificate. */
  readonly name?: string;
  /** First digits of a serial, lower case hex, at least `MINIMUM_PREFIX`. */
  readonly serialPrefix?: string;
  /** SHA-256 of the SubjectPublicKeyInfo, lower case hex. */
  readonly spkiSha256?: string;
  readonly issuerId?: EntityId<'authority'>;
  readonly profile?: ProfileName;
  readonly door?: Door;
  /** Who asked, as the log calls it; what data planes asked for themselves is found by identity. */
  readonly asker?: string;
  /** Asked for at this moment or later, and before that one. */
  readonly from?: Instant;
  readonly until?: Instant;
  readonly status?: CertificateStatus | 'revoked';
  /** In force, and at its end within these two: soonest first, in the order of the end. */
  readonly ending?: { readonly from: Instant; readonly before: Instant };
  /** Only what can be revoked at this moment: issued by ours, not revoked, not expired. */
  readonly revocableAt?: Instant;
  /** Only what another CA can be asked to revoke at this moment: ordered there, not revoked, not expired. */
  readonly revocableThereAt?: Instant;
};

/** `before` is the last certificate of the page before; `limit` is the caller's to bound. */
export type CertificateFilter = CertificateSelection & {
  readonly before?: { readonly reservedAt: Instant; readonly serial: Uint8Array };
  /** The same where the order is that of the end. */
  readonly after?: { readonly notAfter: Instant; readonly serial: Uint8Array };
  /** What else is asked for leaves few: none is to be looked for in the order of time. */
  readonly isFew?: true;
  readonly limit: number;
};

/** Certificates newest first. `issued` leaves out what was revoked. @throws input-invalid if the prefix of the serial is too short */
export async function listCertificates(queries: Queries, filter: CertificateFilter): Promise<CertificateRecord[]> {
  if (filter.environments !== '*' && filter.environments.length === 0) return [];
  const rows = await certificateQuery(queries, filter).execute();
  return rows.map(toCertificate);
}

/** The query of a page; its plan is examined. */
export function certificateQuery(queries: Queries, filter: CertificateFilter) {
  const { before, limit } = filter;
  let query = select(queries, filter).selectAll('certificates');
  // Of the few that a serial or a key finds, none is to be looked for in the order of time.
  const isFew = filter.isFew === true || filter.serialPrefix !== undefined || filter.spkiSha256 !== undefined;
  if (filter.ending !== undefined) {
    const end = isFew ? sql<number>`certificates.not_after + 0` : sql<number>`certificates.not_after`;
    const { after } = filter;
    if (after !== undefined) {
      query = query
        .where(end, '>=', after.notAfter)
        .where((where) =>
          where.or([where('certificates.not_after', '>', after.notAfter), where('certificates.serial', '>', after.serial)]),
        );
    }
    return query.orderBy(end).orderBy('certificates.serial').limit(limit);
  }
  const time = isFew ? sql<number>`certificates.reserved_at + 0` : sql<number>`certificates.reserved_at`;
  if (before !== undefined) {
    // The first condition is the index's, the second only breaks ties.
    query = query
      .where(filter.name === undefined ? time : sql<number>`certificate_names.reserved_at`, '<=', before.reservedAt)
      .where((where) =>
        where.or([where('certificates.reserved_at', '<', before.reservedAt), where('certificates.serial', '<', before.serial)]),
      );
  }
  const ordered = query.orderBy(isFew || filter.name === undefined ? time : sql`certificate_names.reserved_at`, 'desc');
  return ordered.orderBy(filter.name === undefined ? 'certificates.serial' : sql`certificate_names.serial`, 'desc').limit(limit);
}

/** How many certificates a selection has, counted up to `limit`. */
export async function countCertificates(queries: Queries, selection: CertificateSelection, limit: number): Promise<number> {
  if (selection.environments !== '*' && selection.environments.length === 0) return 0;
  const few = select(queries, selection).select('certificates.serial').limit(limit).as('few');
  const row = await tables(queries)
    .selectFrom(few)
    .select((count) => count.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

function select(queries: Queries, selection: CertificateSelection) {
  const { environments, spiffeId, proxyId, name, serialPrefix, spkiSha256, issuerId, profile, door, from, until } = selection;
  const { asker, ending, status, revocableAt, revocableThereAt } = selection;
  let query = tables(queries).selectFrom('certificates');
  if (name !== undefined) {
    query = query.innerJoin('certificate_names', (join) =>
      join
        .onRef('certificate_names.issuer_id', '=', 'certificates.issuer_id')
        .onRef('certificate_names.serial', '=', 'certificates.serial')
        .on(sql<boolean>`certificate_names.name = ${name}`),
    ) as unknown as typeof query;
  }
  // One alone is read in the order of its index.
  if (environments !== '*' && environments.length === 1) query = query.where('certificates.environment', '=', environments[0]!);
  else if (environments !== '*') query = query.where('certificates.environment', 'in', environments);
  if (spiffeId !== undefined) query = query.where('spiffe_id', '=', spiffeId);
  if (proxyId !== undefined) query = query.where('proxy_id', '=', proxyId);
  if (spkiSha256 !== undefined) query = query.where('spki_sha256', '=', spkiSha256);
  if (issuerId !== undefined) query = query.where('certificates.issuer_id', '=', issuerId);
  if (profile !== undefined) query = query.where('profile', '=', profile);
  if (asker !== undefined) query = query.where('asker', '=', asker);
  if (door !== undefined) query = query.where('door', '=', door);
  if (from !== undefined) query = query.where('certificates.reserved_at', '>=', from);
  if (until !== undefined) query = query.where('certificates.reserved_at', '<', until);
  if (serialPrefix !== undefined) {
    const { first, last } = rangeOf(serialPrefix);
    // Serials are found under their issuers, which are few.
    if (issuerId === undefined)
      query = query.where('certificates.issuer_id', 'in', (inner) => inner.selectFrom('authorities').select('id'));
    query = query.where('certificates.serial', '>=', first).where('certificates.serial', '<=', last);
  }
  // Written out, so that the small indexes of the rare states are used.
  if (status === 'revoked') query = query.where('revoked_at', 'is not', null);
  else if (status !== undefined) query = query.where('status', '=', sql.lit(status)).where('revoked_at', 'is', null);
  if (ending !== undefined) {
    query = query.where('status', '=', sql.lit('issued')).where('revoked_at', 'is', null);
    query = query.where('not_after', '>=', ending.from).where('not_after', '<', ending.before);
  }
  if (revocableAt !== undefined) {
    query = query
      .where('status', '=', sql.lit('issued'))
      .where('revoked_at', 'is', null)
      .where('not_after', '>=', revocableAt)
      .where('door', 'not in', foreignDoors);
  }
  if (revocableThereAt !== undefined) {
    query = query
      .where('status', '=', sql.lit('issued'))
      .where('revoked_at', 'is', null)
      .where('not_after', '>=', revocableThereAt)
      .where('door', '=', 'external');
  }
  return query;
}

/** All serials that begin with these digits lie between the two. */
function rangeOf(prefix: string): { readonly first: Uint8Array; readonly last: Uint8Array } {
  if (!/^[0-9a-f]*$/.test(prefix) || prefix.length < MINIMUM_PREFIX || prefix.length > MAXIMUM_DIGITS) {
    throw new Problem(
      'input-invalid',
      `Cannot search serial: ${prefix.length} digits, expected ${MINIMUM_PREFIX} to ${MAXIMUM_DIGITS} of hex`,
    );
  }
  const even = prefix.length % 2 === 0;
  const first = Buffer.from(even ? prefix : `${prefix}0`, 'hex');
  const last = Buffer.concat([Buffer.from(even ? prefix : `${prefix}f`, 'hex'), Buffer.alloc(MAXIMUM_DIGITS / 2, 0xff)]);
  return { first, last };
}

const tables = (queries: Queries) =>
  queries.withTables<{ certificates: CertificateRow; certificate_names: CertificateNameRow; authorities: { id: string } }>();

/** The first octet of our serials is always the same; two random ones leave one certificate in 65,536. */
const MINIMUM_PREFIX = 6;
const MAXIMUM_DIGITS = 42;
