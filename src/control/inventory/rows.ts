import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ExceptionKind } from '../../core/policy/exception-kind.ts';
import type { Tier } from '../../core/policy/policy.ts';
import { noExternalTerms, noProxyProtocol } from './record.ts';
import type {
  AnonymousTerms,
  DataClass,
  DiscoveredRecord,
  EndpointProtocol,
  EndpointRecord,
  ExceptionRecord,
  Exposure,
  ExternalServer,
  ExternalTerms,
  InboundRecord,
  OutboundRecord,
  PathRecord,
  Plane,
  ProxyRecord,
  ProxyRole,
  RouteRecord,
  ServiceRecord,
} from './record.ts';

/** The tables of this slice, as they stand in the database. */
export type InventoryTables = {
  services: ServiceRow;
  endpoints: EndpointRow;
  paths: PathRow;
  declared_proxies: ProxyRow;
  exceptions: ExceptionRow;
  discovered: DiscoveredRow;
  inventory_revision: { id: number; value: number };
};

type Place = { environment: string; region: string };
export type ServiceRow = Place & { id: string; name: string; owner: string; tier: string; spiffe_id: string };
export type EndpointRow = Place & {
  id: string;
  name: string;
  service_id: string;
  protocol: string;
  addresses: string;
  exposure: string;
  tier: string;
  data_classes: string;
  owner: string;
  policy: string;
  allowed_callers: string;
  routes: string;
  server_name: string | null;
  anchors_pem: string | null;
  external_terms: string | null;
};
export type PathRow = Place & {
  id: string;
  caller_service_id: string;
  caller: string;
  endpoint_id: string;
  allowed: number;
  dialled: number;
};
export type ProxyRow = Place & {
  id: string;
  name: string;
  service_id: string | null;
  spiffe_id: string;
  role: string;
  plane: string;
  inbound: string;
  outbound: string;
};
export type ExceptionRow = Place & {
  id: string;
  name: string;
  kind: string;
  path_id: string | null;
  endpoint_id: string | null;
  owner: string;
  reason: string;
  until_at: number;
  anonymous_terms: string | null;
  /** When its end was written down; null: it was not yet. */
  ended_at: number | null;
};
export type DiscoveredRow = Place & { address: string; protocol: string; facts: string; first_seen_at: number; last_seen_at: number };

export function toService(row: ServiceRow): ServiceRecord {
  const { id, environment, region, name, owner, tier, spiffe_id } = row;
  return { id: id as EntityId<'service'>, environment, region, name, owner, tier: tier as Tier, spiffeId: spiffe_id as SpiffeId };
}

export function fromService({ id, environment, region, name, owner, tier, spiffeId }: ServiceRecord): ServiceRow {
  return { id, environment, region, name, owner, tier, spiffe_id: spiffeId };
}

export function toEndpoint(row: EndpointRow): EndpointRecord {
  return {
    id: row.id as EntityId<'endpoint'>,
    environment: row.environment,
    region: row.region,
    name: row.name,
    serviceId: row.service_id as EntityId<'service'>,
    protocol: row.protocol as EndpointProtocol,
    addresses: JSON.parse(row.addresses) as string[],
    exposure: row.exposure as Exposure,
    tier: row.tier as Tier,
    dataClasses: JSON.parse(row.data_classes) as DataClass[],
    owner: row.owner,
    policy: row.policy,
    allowedCallers: JSON.parse(row.allowed_callers) as SpiffeId[],
    routes: JSON.parse(row.routes) as RouteRecord[],
    external: toExternal(row),
  };
}

/** Rows of before there were terms have none. */
function toExternal({ server_name: serverName, anchors_pem: anchorsPem, external_terms: terms }: EndpointRow): ExternalServer | null {
  if (serverName === null || anchorsPem === null) return null;
  return { serverName, anchorsPem, terms: { ...noExternalTerms, ...(JSON.parse(terms ?? '{}') as Partial<ExternalTerms>) } };
}

export function fromEndpoint(endpoint: EndpointRecord): EndpointRow {
  const { id, environment, region, name, protocol, exposure, tier, owner, policy } = endpoint;
  return {
    id,
    environment,
    region,
    name,
    protocol,
    exposure,
    tier,
    owner,
    policy,
    service_id: endpoint.serviceId,
    addresses: JSON.stringify(endpoint.addresses),
    data_classes: JSON.stringify(endpoint.dataClasses),
    allowed_callers: JSON.stringify(endpoint.allowedCallers),
    routes: JSON.stringify(endpoint.routes),
    server_name: endpoint.external?.serverName ?? null,
    anchors_pem: endpoint.external?.anchorsPem ?? null,
    external_terms: endpoint.external === null ? null : JSON.stringify(endpoint.external.terms),
  };
}

export function toPath(row: PathRow): PathRecord {
  return {
    id: row.id as EntityId<'path'>,
    environment: row.environment,
    region: row.region,
    callerServiceId: row.caller_service_id as EntityId<'service'>,
    caller: row.caller as SpiffeId,
    endpointId: row.endpoint_id as EntityId<'endpoint'>,
    allowed: row.allowed !== 0,
    dialled: row.dialled !== 0,
  };
}

export function fromPath({ id, environment, region, callerServiceId, caller, endpointId, allowed, dialled }: PathRecord): PathRow {
  return {
    id,
    environment,
    region,
    caller,
    caller_service_id: callerServiceId,
    endpoint_id: endpointId,
    allowed: Number(allowed),
    dialled: Number(dialled),
  };
}

export function toProxy(row: ProxyRow): ProxyRecord {
  return {
    id: row.id as EntityId<'proxy'>,
    environment: row.environment,
    region: row.region,
    name: row.name,
    serviceId: row.service_id as EntityId<'service'> | null,
    spiffeId: row.spiffe_id as SpiffeId,
    role: row.role as ProxyRole,
    plane: row.plane as Plane,
    // Rows of before there was another way have no termination.
    inbound: (JSON.parse(row.inbound) as (Omit<InboundRecord, 'termination' | 'proxyProtocol'> & Partial<InboundRecord>)[]).map(
      (inbound) => ({
        termination: { kind: 'terminate' },
        proxyProtocol: noProxyProtocol,
        ...inbound,
      }),
    ),
    outbound: JSON.parse(row.outbound) as OutboundRecord[],
  };
}

export function fromProxy({ id, environment, region, name, serviceId, spiffeId, role, plane, inbound, outbound }: ProxyRecord): ProxyRow {
  return {
    id,
    environment,
    region,
    name,
    role,
    plane,
    service_id: serviceId,
    spiffe_id: spiffeId,
    inbound: JSON.stringify(inbound),
    outbound: JSON.stringify(outbound),
  };
}

export function toException(row: ExceptionRow): ExceptionRecord {
  const { id, environment, region, name, kind, owner, reason, until_at: until, anonymous_terms: terms } = row;
  return {
    id: id as EntityId<'exception'>,
    environment,
    region,
    name,
    kind: kind as ExceptionKind,
    owner,
    reason,
    until,
    anonymous: terms === null ? null : (JSON.parse(terms) as AnonymousTerms),
    of:
      row.path_id === null
        ? { kind: 'endpoint', endpointId: row.endpoint_id as EntityId<'endpoint'> }
        : { kind: 'path', pathId: row.path_id as EntityId<'path'> },
  };
}

export function fromException(exception: ExceptionRecord): ExceptionRow {
  const { id, environment, region, name, kind, of, owner, reason, until, anonymous } = exception;
  return {
    id,
    environment,
    region,
    name,
    kind,
    owner,
    reason,
    path_id: of.kind === 'path' ? of.pathId : null,
    endpoint_id: of.kind === 'endpoint' ? of.endpointId : null,
    until_at: until,
    anonymous_terms: anonymous === null ? null : JSON.stringify(anonymous),
    // What was changed may end anew.
    ended_at: null,
  };
}

export function toDiscovered(row: DiscoveredRow): DiscoveredRecord {
  return {
    environment: row.environment,
    region: row.region,
    address: row.address,
    protocol: row.protocol as DiscoveredRecord['protocol'],
    facts: JSON.parse(row.facts) as DiscoveredRecord['facts'],
    firstSeenAt: row.first_seen_at,
    lastSeenAt: row.last_seen_at,
  };
}
