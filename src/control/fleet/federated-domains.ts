import { type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { dialledBy, type EndpointRecord, isCarried, type PathRecord, type ProxyRecord, type ServiceRecord } from '../inventory/record.ts';

/** Who serves and calls whom, by id. */
export type FederationView = {
  readonly trustDomain: TrustDomain;
  readonly services: ReadonlyMap<EntityId<'service'>, ServiceRecord>;
  readonly endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointRecord>;
  readonly pathsByEndpoint: ReadonlyMap<EntityId<'endpoint'>, readonly PathRecord[]>;
};

/** True of an identity of another trust domain than ours. */
export function isForeign({ trustDomain }: Pick<FederationView, 'trustDomain'>, id: SpiffeId): boolean {
  return trustDomainOf(id) !== trustDomain;
}

/** The other trust domains that a proxy has to verify identities of: those of callers that it lets in, and of servers that it calls. Sorted. */
export function federatedDomainsOf(view: FederationView, proxy: ProxyRecord): readonly TrustDomain[] {
  const served = proxy.inbound.filter(({ termination }) => !isCarried(termination)).map(({ endpointId }) => endpointId);
  const callers = served.flatMap((endpointId) => (view.pathsByEndpoint.get(endpointId) ?? []).filter(({ allowed }) => allowed));
  const servers = dialledBy(proxy)
    .map((endpointId) => view.endpoints.get(endpointId)!)
    .filter(({ external }) => external === null)
    .map(({ serviceId }) => view.services.get(serviceId)!.spiffeId);
  const foreign = [...callers.map(({ caller }) => caller), ...servers].filter((id) => isForeign(view, id));
  return [...new Set(foreign.map(trustDomainOf))].toSorted();
}
