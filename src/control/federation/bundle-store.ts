import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { BundleDocument } from '../../core/spiffe/bundle-document.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { Queries } from '../../platform/db/database.ts';

/** The bundle of another trust domain as it was last taken, and how its endpoint does. */
export type FederatedBundleRecord = BundleDocument & {
  readonly domainId: EntityId<'domain'>;
  readonly environment: string;
  readonly trustDomain: TrustDomain;
  /** Digest of what was declared of it. */
  readonly declared: string;
  /** Null: what is held, if anything, is the declared one. */
  readonly fetchedAt: Instant | null;
  readonly triedAt: Instant | null;
  readonly dueAt: Instant;
  /** Why the last try failed; null: it did not. */
  readonly fault: string | null;
};

export async function listFederatedBundles(queries: Queries): Promise<readonly FederatedBundleRecord[]> {
  const rows = await tables(queries).selectFrom('federated_bundles').selectAll().orderBy('trust_domain').orderBy('domain_id').execute();
  return rows.map(toRecord);
}

/** What of each says whether anything is to be done; the authorities stay unread. */
export async function listBundleStates(
  queries: Queries,
): Promise<readonly Pick<FederatedBundleRecord, 'domainId' | 'declared' | 'dueAt'>[]> {
  const rows = await tables(queries).selectFrom('federated_bundles').select(['domain_id', 'declared', 'due_at']).execute();
  return rows.map(({ domain_id, declared, due_at: dueAt }) => ({ domainId: domain_id as EntityId<'domain'>, declared, dueAt }));
}

export async function findFederatedBundle(queries: Queries, id: EntityId<'domain'>): Promise<FederatedBundleRecord | null> {
  const row = await tables(queries).selectFrom('federated_bundles').selectAll().where('domain_id', '=', id).executeTakeFirst();
  return row === undefined ? null : toRecord(row);
}

export async function upsertFederatedBundle(queries: Queries, record: FederatedBundleRecord): Promise<void> {
  const row: FederatedBundleRow = {
    domain_id: record.domainId,
    environment: record.environment,
    trust_domain: record.trustDomain,
    declared: record.declared,
    sequence: record.sequence,
    refresh_hint_ms: record.refreshHintMs,
    authorities: JSON.stringify(record.authorities.map(({ der }) => Buffer.from(der).toString('base64'))),
    fetched_at: record.fetchedAt,
    tried_at: record.triedAt,
    due_at: record.dueAt,
    fault: record.fault,
  };
  await tables(queries)
    .insertInto('federated_bundles')
    .values(row)
    .onConflict((conflict) => conflict.column('domain_id').doUpdateSet(row))
    .execute();
}

export async function deleteFederatedBundle(queries: Queries, id: EntityId<'domain'>): Promise<void> {
  await tables(queries).deleteFrom('federated_bundles').where('domain_id', '=', id).execute();
}

function toRecord(row: FederatedBundleRow): FederatedBundleRecord {
  return {
    domainId: row.domain_id as EntityId<'domain'>,
    environment: row.environment,
    trustDomain: row.trust_domain as TrustDomain,
    declared: row.declared,
    sequence: row.sequence,
    refreshHintMs: row.refresh_hint_ms,
    authorities: (JSON.parse(row.authorities) as string[]).map((text) => parseCertificate(Buffer.from(text, 'base64'))),
    fetchedAt: row.fetched_at,
    triedAt: row.tried_at,
    dueAt: row.due_at,
    fault: row.fault,
  };
}

type FederatedBundleRow = {
  domain_id: string;
  environment: string;
  trust_domain: string;
  declared: string;
  sequence: number | null;
  refresh_hint_ms: number | null;
  authorities: string;
  fetched_at: number | null;
  tried_at: number | null;
  due_at: number;
  fault: string | null;
};

const tables = (queries: Queries) => queries.withTables<{ federated_bundles: FederatedBundleRow }>();
