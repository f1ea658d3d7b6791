import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** A CA. `active` signs and is trusted, `trusted` is trusted only, `retired` neither; `external` is somebody else's, whose certificates are known here. */
export type AuthorityRecord = {
  readonly id: EntityId<'authority'>;
  readonly kind: 'root' | 'issuing';
  readonly parentId: EntityId<'authority'> | null;
  readonly trustDomain: TrustDomain;
  readonly environment: string;
  readonly region: string;
  readonly keyId: EntityId<'key'>;
  /** SHA-256 of its SubjectPublicKeyInfo, lower case hex. */
  readonly spkiSha256: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** Where its CRL is published: the octets of its certificates' CRL distribution point, of which `crl-path.ts` makes those of shards. Null: nowhere. */
  readonly crlUrl: string | null;
  /** Into how many lists its revocations are divided; fixed, because certificates name their shard. */
  readonly crlShards: number;
  /** Where it is asked by OCSP. Null: nowhere. */
  readonly ocspUrl: string | null;
  readonly status: 'active' | 'trusted' | 'retired' | 'external';
  readonly createdAt: Instant;
  readonly notAfter: Instant;
};

/** What counts the states of something that is delivered as a whole. */
export type SequenceName = 'trust-bundle' | 'revoked-set';

export async function insertAuthority(queries: Queries, authority: AuthorityRecord): Promise<void> {
  await tables(queries)
    .insertInto('authorities')
    .values({
      id: authority.id,
      kind: authority.kind,
      parent_id: authority.parentId,
      trust_domain: authority.trustDomain,
      environment: authority.environment,
      region: authority.region,
      key_id: authority.keyId,
      spki_sha256: authority.spkiSha256,
      certificate: authority.certificate,
      crl_url: authority.crlUrl,
      crl_shards: authority.crlShards,
      ocsp_url: authority.ocspUrl,
      status: authority.status,
      created_at: authority.createdAt,
      not_after: authority.notAfter,
    })
    .execute();
}

/** All that are active or trusted, oldest first. */
export async function listAuthorities(queries: Queries): Promise<AuthorityRecord[]> {
  const rows = await tables(queries)
    .selectFrom('authorities')
    .selectAll()
    .where('status', 'in', ['active', 'trusted'])
    .orderBy('id')
    .execute();
  return rows.map(toAuthority);
}

export async function findAuthority(queries: Queries, id: EntityId<'authority'>): Promise<AuthorityRecord | null> {
  const row = await tables(queries).selectFrom('authorities').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toAuthority(row);
}

export async function readSequence(queries: Queries, name: SequenceName): Promise<number> {
  const row = await tables(queries).selectFrom('ca_sequences').select('value').where('name', '=', name).executeTakeFirstOrThrow();
  return row.value;
}

/** The next number of the sequence; the row is locked until the commit, so numbers are given in the order of commits. */
export async function advanceSequence(queries: Queries, name: SequenceName): Promise<number> {
  const row = await tables(queries)
    .updateTable('ca_sequences')
    .set((set) => ({ value: set('value', '+', 1) }))
    .where('name', '=', name)
    .returning('value')
    .executeTakeFirstOrThrow();
  return row.value;
}

type AuthorityRow = {
  id: string;
  kind: string;
  parent_id: string | null;
  trust_domain: string;
  environment: string;
  region: string;
  key_id: string;
  spki_sha256: string;
  certificate: Uint8Array;
  crl_url: string | null;
  crl_shards: number;
  ocsp_url: string | null;
  status: string;
  created_at: number;
  not_after: number;
};

const tables = (queries: Queries) => queries.withTables<{ authorities: AuthorityRow; ca_sequences: { name: string; value: number } }>();

function toAuthority(row: AuthorityRow): AuthorityRecord {
  return {
    id: row.id as EntityId<'authority'>,
    kind: row.kind as AuthorityRecord['kind'],
    parentId: row.parent_id as EntityId<'authority'> | null,
    trustDomain: row.trust_domain as TrustDomain,
    environment: row.environment,
    region: row.region,
    keyId: row.key_id as EntityId<'key'>,
    spkiSha256: row.spki_sha256,
    certificate: row.certificate,
    crlUrl: row.crl_url,
    crlShards: row.crl_shards,
    ocspUrl: row.ocsp_url,
    status: row.status as AuthorityRecord['status'],
    createdAt: row.created_at,
    notAfter: row.not_after,
  };
}
