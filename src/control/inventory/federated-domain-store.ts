import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { environmentsIn } from '../policies/environments-in.ts';
import type { BundleEndpoint, FederatedDomainRecord } from './record.ts';

/** The declared trust domains of others in these environments, by environment and name. */
export async function listFederatedDomains(queries: Queries, scope: Scope): Promise<readonly FederatedDomainRecord[]> {
  const rows = await tables(queries)
    .selectFrom('federated_domains')
    .selectAll()
    .$if(scope !== '*', (query) => query.where('environment', 'in', environmentsIn(scope)))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(toRecord);
}

export async function findFederatedDomain(queries: Queries, id: EntityId<'domain'>): Promise<FederatedDomainRecord | null> {
  const row = await tables(queries).selectFrom('federated_domains').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? null : toRecord(row);
}

export async function upsertFederatedDomain(queries: Queries, record: FederatedDomainRecord): Promise<void> {
  const { id, environment, region, name, trustDomain, url, endpoint } = record;
  const row = { id, environment, region, name, trust_domain: trustDomain, url, endpoint: JSON.stringify(endpoint) };
  await tables(queries)
    .insertInto('federated_domains')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

export async function deleteFederatedDomain(queries: Queries, id: EntityId<'domain'>): Promise<void> {
  await tables(queries).deleteFrom('federated_domains').where('id', '=', id).execute();
}

function toRecord({ id, environment, region, name, trust_domain, url, endpoint }: FederatedDomainRow): FederatedDomainRecord {
  return {
    id: id as EntityId<'domain'>,
    environment,
    region,
    name,
    trustDomain: trust_domain as TrustDomain,
    url,
    endpoint: JSON.parse(endpoint) as BundleEndpoint,
  };
}

type FederatedDomainRow = {
  id: string;
  environment: string;
  region: string;
  name: string;
  trust_domain: string;
  url: string;
  endpoint: string;
};

const tables = (queries: Queries) => queries.withTables<{ federated_domains: FederatedDomainRow }>();
