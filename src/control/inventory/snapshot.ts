import type { Queries } from '../../platform/db/database.ts';
import { listProfiles, type ProfileRecord } from '../policies/profile-store.ts';
import { listPolicies, listTargets, type PolicyRecord, type TargetRecord } from '../policies/store.ts';
import { listFederatedDomains } from './federated-domain-store.ts';
import type { EndpointRecord, ExceptionRecord, FederatedDomainRecord, PathRecord, ProxyRecord, ServiceRecord } from './record.ts';
import { listDeclaredProxies, listEndpoints, listExceptions, listPaths, listServices } from './store.ts';

/** Everything that declarations make, as it stands: what a plan compares against, in all environments because callers cross them. */
export type InventorySnapshot = {
  readonly services: readonly ServiceRecord[];
  readonly endpoints: readonly EndpointRecord[];
  readonly paths: readonly PathRecord[];
  readonly proxies: readonly ProxyRecord[];
  readonly exceptions: readonly ExceptionRecord[];
  readonly policies: readonly PolicyRecord[];
  readonly profiles: readonly ProfileRecord[];
  readonly targets: readonly TargetRecord[];
  readonly federatedDomains: readonly FederatedDomainRecord[];
};

/** Nine queries, whatever the fleet's size. */
export async function readSnapshot(queries: Queries): Promise<InventorySnapshot> {
  return {
    services: await listServices(queries, '*'),
    endpoints: await listEndpoints(queries, '*'),
    paths: await listPaths(queries, '*'),
    proxies: await listDeclaredProxies(queries, '*'),
    exceptions: await listExceptions(queries, '*'),
    policies: await listPolicies(queries, '*'),
    profiles: await listProfiles(queries, '*'),
    targets: await listTargets(queries, '*'),
    federatedDomains: await listFederatedDomains(queries, '*'),
  };
}
