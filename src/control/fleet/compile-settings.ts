import { create, toBinary } from '@bufbuild/protobuf';
import { createHash } from 'node:crypto';
import { probeSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import {
  type CallerRule,
  CallerRuleSchema,
  type Inbound,
  InboundSchema,
  Mode as WireMode,
  type Outbound,
  OutboundSchema,
  Origination as WireOrigination,
  Plane as WirePlane,
  Protocol as WireProtocol,
  ProxyProtocol,
  type ProxySettings,
  ProxySettingsSchema,
  type Route,
  RouteSchema,
  type SocketAddress,
  SocketAddressSchema,
  Termination as WireTermination,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { compileCadence, compileHttp, compileReplicas, compileTlsPolicy, type PublishedKeys } from '../../core/policy/compile-policy.ts';
import type { Mode, Origination } from '../../core/policy/mode.ts';
import { defaultPolicy, type Policy, type Tier } from '../../core/policy/policy.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseHostPort } from '../../platform/network/host-port.ts';
import {
  type CarriedTerms,
  type EndpointRecord,
  type ExceptionRecord,
  type InboundRecord,
  isCarried,
  type OutboundRecord,
  type PathRecord,
  type Plane,
  type ProxyRecord,
  type RouteRecord,
  type ServiceRecord,
} from '../inventory/record.ts';
import { oldTlsExceptionOf } from '../inventory/old-tls-exception.ts';
import { compileAnonymous } from './compile-anonymous.ts';
import { compileExternal } from './compile-external.ts';
import { federatedDomainsOf, isForeign } from './federated-domains.ts';
import { endpointModeOf, type ModeOfPath } from './endpoint-mode.ts';

/** Everything that settings are made from, looked up by id. */
export type FleetView = {
  readonly trustDomain: TrustDomain;
  readonly services: ReadonlyMap<EntityId<'service'>, ServiceRecord>;
  readonly endpoints: ReadonlyMap<EntityId<'endpoint'>, EndpointRecord>;
  /** Sorted by caller. */
  readonly pathsByEndpoint: ReadonlyMap<EntityId<'endpoint'>, readonly PathRecord[]>;
  readonly modes: ReadonlyMap<EntityId<'path'>, ModeOfPath>;
  /** Endpoints that were proven once. */
  readonly latched: ReadonlySet<EntityId<'endpoint'>>;
  /** By environment and name. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** Of issuers of access tokens. */
  readonly publishedKeys: PublishedKeys;
  /** The exceptions for old TLS, and those for callers without a certificate, by endpoint. */
  readonly oldTls: readonly ExceptionRecord[];
  readonly anonymous: ReadonlyMap<EntityId<'endpoint'>, readonly ExceptionRecord[]>;
  /** What has ended by then is not compiled. */
  readonly now: Instant;
  readonly renewalEpochs: ReadonlyMap<EntityId<'proxy'>, number>;
};

/** What one proxy must run, without its generation. The same view gives the same octets. */
export function compileSettings(view: FleetView, proxy: ProxyRecord): ProxySettings {
  const service = proxy.serviceId === null ? null : view.services.get(proxy.serviceId)!;
  const served = proxy.inbound
    .filter(({ termination }) => !isCarried(termination))
    .map(({ endpointId }) => view.endpoints.get(endpointId)!);
  const policies =
    served.length === 0 ? [policyNamed(view, proxy.environment, 'default')] : served.map((endpoint) => policyOf(view, endpoint));
  const tier: Tier = service?.tier === 'critical' || served.some((endpoint) => endpoint.tier === 'critical') ? 'critical' : 'standard';
  return create(ProxySettingsSchema, {
    proxyId: proxy.id,
    proxyName: proxy.name,
    environment: proxy.environment,
    region: proxy.region,
    spiffeId: proxy.spiffeId,
    trustDomain: view.trustDomain,
    plane: wirePlanes[proxy.plane],
    inbound: proxy.inbound.map((inbound) => compileInbound(view, proxy, inbound)).toSorted(byEndpoint),
    outbound: proxy.outbound.map((outbound) => compileOutbound(view, proxy, outbound)).toSorted(byEndpoint),
    // One certificate serves all endpoints of the proxy: the most careful of their policies decides.
    certificate: compileCadence(mostCareful(policies, tier), tier, view.renewalEpochs.get(proxy.id) ?? 0),
    federatedTrustDomains: [...federatedDomainsOf(view, proxy)],
    telemetryIntervalMs: Math.min(...policies.map(({ telemetryIntervalMs }) => telemetryIntervalMs)),
  });
}

/** The settings as they are sent, and the digest of their content without the generation. */
export function encodeSettings(settings: ProxySettings, generation: number): Uint8Array {
  return toBinary(ProxySettingsSchema, { ...settings, generation: BigInt(generation) });
}

export function settingsDigest(settings: ProxySettings): string {
  return createHash('sha256').update(encodeSettings(settings, 0)).digest('hex');
}

function compileInbound(view: FleetView, proxy: ProxyRecord, inbound: InboundRecord): Inbound {
  const { endpointId, listen, upstream, termination } = inbound;
  const endpoint = view.endpoints.get(endpointId)!;
  const policy = policyOf(view, endpoint);
  if (termination.kind === 'passthrough' || termination.kind === 'mutual')
    return compileCarried(inbound, endpoint, { policy, termination });
  const paths = view.pathsByEndpoint.get(endpointId) ?? [];
  const weakest = wireModes[modeOfEndpoint(view, endpointId)];
  return create(InboundSchema, {
    endpointId,
    endpointName: endpoint.name,
    ...compileSockets({ listen, upstream }),
    protocol: wireProtocols[endpoint.protocol],
    anonymousMode: weakest,
    strangerMode: weakest,
    callers: paths.filter(({ allowed }) => allowed).map((path) => compileCaller(view, path)),
    tls: compileTlsPolicy(policy),
    drainMs: policy.drainMs,
    probeSpiffeId: probeSpiffeId(view.trustDomain, proxy.environment),
    ...compileProxyProtocol(inbound),
    routes: endpoint.routes.map(compileRoute),
    anonymousExceptions: compileAnonymous(view.anonymous.get(endpointId) ?? [], view.now),
    ...compileHttp(policy.http, view.publishedKeys),
    maximumConnections: policy.limits.connections,
    handshakesPerAddress: policy.limits.handshakesPerAddress,
    ...(termination.kind === 'reencrypt' ? compileReencrypt(view, proxy, termination.nextEndpoint) : {}),
  });
}

function compileProxyProtocol({ proxyProtocol }: InboundRecord): Pick<Inbound, 'proxyProtocolFrom' | 'proxyProtocolTo'> {
  return { proxyProtocolFrom: [...proxyProtocol.from], proxyProtocolTo: wireProxyProtocols[proxyProtocol.send] };
}

/** What goes through untouched has no callers that could be told apart here, and no TLS of ours. */
function compileCarried(
  inbound: InboundRecord,
  endpoint: EndpointRecord,
  { policy, termination }: { readonly policy: Policy; readonly termination: CarriedTerms & { readonly kind: 'passthrough' | 'mutual' } },
): Inbound {
  const { kind, serverNames, takesUnknown, idleMs, maximumConnections } = termination;
  const { listen, upstream } = inbound;
  return create(InboundSchema, {
    endpointId: endpoint.id,
    endpointName: endpoint.name,
    ...compileSockets({ listen, upstream }),
    drainMs: policy.drainMs,
    termination: kind === 'mutual' ? WireTermination.MUTUAL : WireTermination.PASSTHROUGH,
    serverNames: [...serverNames],
    takesUnknown,
    idleMs,
    maximumConnections,
    handshakesPerAddress: policy.limits.handshakesPerAddress,
    ...compileProxyProtocol(inbound),
  });
}

/** To encrypt anew is a promise that no stage of a rollout takes back: where the endpoint is ours, it is always mutual TLS. */
function compileReencrypt(view: FleetView, proxy: ProxyRecord, endpointId: EntityId<'endpoint'>) {
  const hop = compileOutbound(view, proxy, { endpointId, listen: null });
  const origination = hop.origination === WireOrigination.PLAINTEXT ? WireOrigination.MTLS : hop.origination;
  return { termination: WireTermination.REENCRYPT, nextHop: { ...hop, origination } };
}

function compileRoute({ methods, host, path, callers }: RouteRecord): Route {
  return create(RouteSchema, {
    methods: [...methods],
    host,
    path,
    callerSpiffeIds: callers.filter((caller) => !isSan(caller)),
    callerSans: callers.filter(isSan),
  });
}

function isSan(caller: string): boolean {
  return caller.startsWith('dns:') || caller.startsWith('uri:');
}

/** A caller that the rollout does not know yet meets what the endpoint already is: a new caller weakens nobody's protection. */
function compileCaller(view: FleetView, path: PathRecord): CallerRule {
  const mode = view.modes.get(path.id)?.receiverMode ?? modeOfEndpoint(view, path.endpointId);
  return create(CallerRuleSchema, { pathId: path.id, spiffeId: path.caller, mode: wireModes[mode] });
}

function compileOutbound(view: FleetView, proxy: ProxyRecord, { endpointId, listen }: OutboundRecord): Outbound {
  const endpoint = view.endpoints.get(endpointId)!;
  const paths = view.pathsByEndpoint.get(endpointId) ?? [];
  const path = paths.find(({ callerServiceId }) => callerServiceId === proxy.serviceId)!;
  const policy = policyOf(view, endpoint);
  const common = {
    pathId: path.id,
    endpointId,
    endpointName: endpoint.name,
    ...compileSockets({ listen }),
    upstreams: endpoint.addresses.map(compileAddress),
    protocol: wireProtocols[endpoint.protocol],
    tls: compileTlsPolicy(policy),
    drainMs: policy.drainMs,
    ...compileReplicas(policy.replicas),
  };
  if (endpoint.external !== null) {
    return create(OutboundSchema, {
      ...common,
      ...compileExternal(endpoint.external, oldTlsExceptionOf(endpointId, { paths: [path], exceptions: view.oldTls }, view.now)),
    });
  }
  const { spiffeId: serverSpiffeId } = view.services.get(endpoint.serviceId)!;
  // No rollout of ours brings a server of another trust domain to mutual TLS: it is what was agreed on.
  const origination = isForeign(view, serverSpiffeId) ? 'mtls' : originationOf(view, path);
  return create(OutboundSchema, { ...common, origination: wireOriginations[origination], serverSpiffeId });
}

function originationOf(view: FleetView, path: PathRecord): Origination {
  return view.modes.get(path.id)?.origination ?? (modeOfEndpoint(view, path.endpointId) === 'enforce' ? 'mtls' : 'plaintext');
}

/** An endpoint that was proven and lost its last known path stays shut: to take a caller away opens it to nobody. */
function modeOfEndpoint({ pathsByEndpoint, modes, latched }: FleetView, endpointId: EntityId<'endpoint'>): Mode {
  const paths = pathsByEndpoint.get(endpointId) ?? [];
  if (latched.has(endpointId) && !paths.some(({ id }) => modes.has(id))) return 'enforce';
  return endpointModeOf(paths, modes);
}

/** A service in its own process has no sockets of a proxy. */
function compileSockets<Name extends string>(sockets: { readonly [name in Name]: string | null }): { [name in Name]?: SocketAddress } {
  const given = Object.entries(sockets).filter(([, text]) => text !== null) as [Name, string][];
  return Object.fromEntries(given.map(([name, text]) => [name, compileAddress(text)])) as { [name in Name]?: SocketAddress };
}

function compileAddress(text: string): SocketAddress {
  if (text.startsWith('unix:')) {
    return create(SocketAddressSchema, { address: { case: 'unixPath', value: text.slice('unix:'.length) } });
  }
  const { host, port } = parseHostPort(text);
  return create(SocketAddressSchema, {
    address: { case: 'internet', value: { $typeName: 'countersign.v1.InternetAddress', ip: host, port } },
  });
}

function policyOf(view: FleetView, endpoint: EndpointRecord): Policy {
  return policyNamed(view, endpoint.environment, endpoint.policy);
}

/** `default` is built in until somebody declares one of that name. */
function policyNamed(view: FleetView, environment: string, name: string): Policy {
  return view.policies.get(`${environment}/${name}`) ?? defaultPolicy;
}

function mostCareful(policies: readonly Policy[], tier: Tier): Policy {
  return policies.reduce((a, b) => (b.certificates.renewAtPermille[tier] < a.certificates.renewAtPermille[tier] ? b : a));
}

function byEndpoint(a: Inbound | Outbound, b: Inbound | Outbound): number {
  return a.endpointName < b.endpointName ? -1 : a.endpointName > b.endpointName ? 1 : a.endpointId < b.endpointId ? -1 : 1;
}

const wireModes: { readonly [mode in Mode]: WireMode } = {
  observe: WireMode.OBSERVE,
  permissive: WireMode.PERMISSIVE,
  enforce: WireMode.ENFORCE,
};
/** How an endpoint's protocol is called in settings and drill jobs. */
export const wireProtocols = { http: WireProtocol.HTTP, grpc: WireProtocol.GRPC, tcp: WireProtocol.TCP } as const;
const wirePlanes: { readonly [plane in Plane]: WirePlane } = { native: WirePlane.UNSPECIFIED, envoy: WirePlane.ENVOY };
const wireProxyProtocols = { none: ProxyProtocol.UNSPECIFIED, v1: ProxyProtocol.V1, v2: ProxyProtocol.V2 } as const;
const wireOriginations: { readonly [origination in Origination]: WireOrigination } = {
  plaintext: WireOrigination.PLAINTEXT,
  mtls: WireOrigination.MTLS,
  tls: WireOrigination.TLS,
};
