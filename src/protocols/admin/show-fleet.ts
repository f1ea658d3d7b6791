import type { Scope } from '../../control/access/principal.ts';
import { listCertificates } from '../../control/ca/search-certificates.ts';
import { deliveryFacts } from '../../control/fleet/delivery-facts.ts';
import { type EnvoyRefusalRecord, listEnvoyRefusals } from '../../control/fleet/envoy-refusal-store.ts';
import { listJoinedProxies } from '../../control/fleet/joined-proxy-store.ts';
import { type PathMode, readRenewalEpochs } from '../../control/fleet/store.ts';
import type { EndpointRecord, PathRecord } from '../../control/inventory/record.ts';
import { listDeclaredProxies, listEndpoints, listServices } from '../../control/inventory/store.ts';
import { readServedCertificates } from '../../control/telemetry/read-telemetry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** A path with the names of its ends and what they do now. */
export function showPath(
  path: PathRecord,
  {
    endpoints,
    modes,
    foreign,
  }: {
    readonly endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointRecord>;
    readonly modes: ReadonlyMap<EntityId<'path'>, PathMode>;
    /** Services of other trust domains. */
    readonly foreign: ReadonlySet<EntityId<'service'>>;
  },
): unknown {
  const endpoint = endpoints.get(path.endpointId);
  const mode = modes.get(path.id);
  const isExternal = endpoint?.external !== null;
  const isFederated = endpoint !== undefined && foreign.has(endpoint.serviceId);
  return {
    ...path,
    endpoint: endpoint?.name,
    protection: isExternal ? 'one-way' : isFederated ? 'federated' : 'mutual',
    mode: mode?.receiverMode ?? 'observe',
    origination: isExternal ? 'tls' : isFederated ? 'mtls' : (mode?.origination ?? 'plaintext'),
  };
}

/** What stands beside a companion, as far as this process knows. */
export type EnvoyStatus = {
  readonly connected: boolean;
  readonly state: 'current' | 'state-older';
  readonly refused: readonly {
    readonly typeUrl: string;
    readonly name: string;
    readonly version: string;
    readonly reason: string;
    readonly by: 'envoy' | 'countersign';
    readonly at: Instant;
  }[];
};

/** What one refused that is connected elsewhere is in the database. */
function envoyShown(here: EnvoyStatus | null, refusals: readonly EnvoyRefusalRecord[]): EnvoyStatus {
  if (here?.connected === true) return here;
  const withheld = here?.refused.filter(({ by }) => by === 'countersign') ?? [];
  const refused = refusals.map(({ proxyId: _proxyId, ...rest }) => ({ ...rest, by: 'envoy' as const }));
  return { connected: false, state: here?.state ?? 'current', refused: [...withheld, ...refused] };
}

/** Proxies as declared, with what they are, what they must run and what they serve. */
export async function showProxies(
  queries: Queries,
  scope: Scope,
  envoyOf: (proxyId: EntityId<'proxy'>) => EnvoyStatus | null,
): Promise<readonly unknown[]> {
  const delivery = await deliveryFacts(queries);
  const joined = new Map((await listJoinedProxies(queries, scope)).map((proxy) => [proxy.id, proxy]));
  const services = new Map((await listServices(queries, scope)).map(({ id, name }) => [id, name]));
  const endpoints = new Map((await listEndpoints(queries, '*')).map(({ id, name }) => [id, name]));
  const epochs = await readRenewalEpochs(queries);
  const declared = await listDeclaredProxies(queries, scope);
  const refusals = Map.groupBy(await listEnvoyRefusals(queries, null), ({ proxyId }) => proxyId);
  const environments = [...new Set(declared.map(({ environment }) => environment))];
  const served = Map.groupBy(
    (await Promise.all(environments.map((environment) => readServedCertificates(queries, environment)))).flat(),
    ({ proxy_id }) => proxy_id,
  );
  return Promise.all(
    declared.map(async ({ id, environment, region, name, serviceId, spiffeId, role, plane, inbound, outbound }) => {
      const { generation, connected, lastSeenAt, delivery: state } = delivery.proxies.get(id)!;
      const [certificate] = await listCertificates(queries, { environments: '*', proxyId: id, status: 'issued', limit: 1 });
      return {
        id,
        environment,
        region,
        name,
        role,
        plane,
        spiffeId,
        connected,
        lastSeenAt,
        generation,
        service: serviceId === null ? null : services.get(serviceId),
        inbound: inbound.map(({ endpointId, ...rest }) => ({ endpoint: endpoints.get(endpointId), ...rest })),
        outbound: outbound.map(({ endpointId, ...rest }) => ({ endpoint: endpoints.get(endpointId), ...rest })),
        delivery: state.kind,
        refusal: state.kind === 'refused' ? state.detail : null,
        envoy: plane === 'envoy' ? envoyShown(envoyOf(id), refusals.get(id) ?? []) : null,
        joinedAt: joined.get(id)?.joinedAt ?? null,
        version: joined.get(id)?.version ?? null,
        capabilities: joined.get(id)?.capabilities ?? [],
        renewalEpoch: epochs.get(id) ?? 0,
        certificate:
          certificate === undefined
            ? null
            : { serial: Buffer.from(certificate.serial).toString('hex'), issuedAt: certificate.reservedAt, notAfter: certificate.notAfter },
        served: (served.get(id) ?? []).map(({ endpoint_id, serial, not_after, seen_at }) => ({
          endpoint: endpoints.get(endpoint_id as EntityId<'endpoint'>),
          serial,
          notAfter: not_after,
          seenAt: seen_at,
        })),
      };
    }),
  );
}
