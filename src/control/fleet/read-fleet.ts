import { type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { type AnonymousKind, exceptionKinds } from '../../core/policy/exception-kind.ts';
import type { Tier } from '../../core/policy/policy.ts';
import type { EndpointException } from '../../core/rollout/rollout-facts.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { anonymousByEndpoint } from '../inventory/anonymous-by-endpoint.ts';
import type { ExceptionRecord, PathRecord } from '../inventory/record.ts';
import { listFederatedDomains } from '../inventory/federated-domain-store.ts';
import { listEndpoints, listExceptions, listPaths, listServices } from '../inventory/store.ts';
import { deliveryFacts, type ProxyDelivery } from './delivery-facts.ts';

/** One environment as a rollout needs it: who calls whom, what excepts it, and how far the settings of both ends have come. */
export type FleetFacts = {
  readonly paths: readonly {
    readonly pathId: EntityId<'path'>;
    readonly endpointId: EntityId<'endpoint'>;
    readonly callerServiceId: EntityId<'service'>;
    readonly caller: SpiffeId;
    /** `one-way`: the endpoint is outside of the trust domain; `federated`: it is of another one. */
    readonly protection: 'mutual' | 'one-way' | 'federated';
    readonly callerIs: 'ours' | 'foreign';
    /** Only what holds the path as it is; an exception that names a remaining hop does not. */
    readonly exception: { readonly owner: string; readonly until: Instant } | null;
    readonly callerProxies: readonly EntityId<'proxy'>[];
  }[];
  readonly endpoints: readonly {
    readonly endpointId: EntityId<'endpoint'>;
    readonly serviceId: EntityId<'service'>;
    readonly tier: Tier;
    readonly unit: 'call' | 'connection';
    readonly receivers: readonly EntityId<'proxy'>[];
    /** Who may come without a certificate. */
    readonly exceptions: readonly EndpointException[];
  }[];
  readonly deliveries: ReadonlyMap<EntityId<'proxy'>, ProxyDelivery['delivery']>;
};

/** A dozen queries, whatever the fleet's size; a caller's proxies may be of another environment. Exceptions that ended before `now` count for nothing. */
export async function readFleet(queries: Queries, environment: string, now: Instant): Promise<FleetFacts> {
  const delivery = await deliveryFacts(queries);
  const endpoints = await listEndpoints(queries, [environment]);
  const exceptions = (await listExceptions(queries, [environment])).filter(({ until }) => until > now);
  const external = new Set(endpoints.flatMap(({ id, external }) => (external === null ? [] : [id])));
  const domains = new Set<string>((await listFederatedDomains(queries, '*')).map(({ trustDomain }) => trustDomain));
  const isForeign = (id: SpiffeId): boolean => domains.has(trustDomainOf(id));
  const foreign = new Set(
    domains.size === 0 ? [] : (await listServices(queries, '*')).flatMap(({ id, spiffeId }) => (isForeign(spiffeId) ? [id] : [])),
  );
  const federated = new Set(endpoints.flatMap(({ id, serviceId }) => (foreign.has(serviceId) ? [id] : [])));
  const anonymous = anonymousByEndpoint(exceptions);
  const paths = await listPaths(queries, [environment]);
  return {
    paths: paths.map((path) => ({
      pathId: path.id,
      endpointId: path.endpointId,
      callerServiceId: path.callerServiceId,
      caller: path.caller,
      protection: external.has(path.endpointId) ? 'one-way' : federated.has(path.endpointId) ? 'federated' : 'mutual',
      callerIs: isForeign(path.caller) ? 'foreign' : 'ours',
      exception: exceptionOf(path, exceptions),
      callerProxies: (delivery.callersOf.get(path.id) ?? []).map(({ proxyId }) => proxyId),
    })),
    endpoints: endpoints.map(({ id, serviceId, tier, protocol }) => ({
      endpointId: id,
      serviceId,
      tier,
      unit: protocol === 'tcp' ? 'connection' : 'call',
      receivers: (delivery.receiversOf.get(id) ?? []).map(({ proxyId }) => proxyId),
      exceptions: (anonymous.get(id) ?? []).map(({ name, kind, owner, until }) => ({ name, kind: kind as AnonymousKind, owner, until })),
    })),
    deliveries: new Map([...delivery.proxies].map(([id, proxy]) => [id, proxy.delivery])),
  };
}

/** Of several the one that lasts longest. */
function exceptionOf(path: PathRecord, exceptions: readonly ExceptionRecord[]): { readonly owner: string; readonly until: Instant } | null {
  const holding = exceptions.filter(
    ({ kind, of }) => exceptionKinds[kind].holdsPath && (of.kind === 'path' ? of.pathId === path.id : of.endpointId === path.endpointId),
  );
  const longest = holding.toSorted((a, b) => b.until - a.until)[0];
  return longest === undefined ? null : { owner: longest.owner, until: longest.until };
}
