import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ExceptionKind } from '../../core/policy/exception-kind.ts';
import type { Tier } from '../../core/policy/policy.ts';
import type { CallPattern } from '../../core/routes/call-pattern.ts';
import type { Instant } from '../../core/time/instant.ts';

/** A workload with one identity. */
export type ServiceRecord = {
  readonly id: EntityId<'service'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly owner: string;
  readonly tier: Tier;
  readonly spiffeId: SpiffeId;
};

/** A trust domain of others whose identities may be trusted in this environment, each by its own bundle alone. */
export type FederatedDomainRecord = {
  readonly id: EntityId<'domain'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly trustDomain: TrustDomain;
  /** Of its bundle endpoint. */
  readonly url: string;
  readonly endpoint: BundleEndpoint;
};

/** Who the bundle endpoint has to be (SPIFFE Federation section 5.2). */
export type BundleEndpoint =
  /** A server of the URL's name under these anchors (PEM); null: those that come with Node. */
  | { readonly kind: 'https_web'; readonly anchorsPem: string | null }
  /** The holder of this SPIFFE ID, by the bundle fetched last and at first by this one, a bundle document. */
  | { readonly kind: 'https_spiffe'; readonly spiffeId: SpiffeId; readonly bundle: string };

export const protocols = ['http', 'grpc', 'tcp'] as const;
export type EndpointProtocol = (typeof protocols)[number];
export const exposures = ['public', 'partner', 'internal', 'datastore', 'legacy'] as const;
export type Exposure = (typeof exposures)[number];
export const dataClasses = ['pii', 'cardholder', 'phi'] as const;
export type DataClass = (typeof dataClasses)[number];

/** Where TLS is or should be spoken. */
export type EndpointRecord = {
  readonly id: EntityId<'endpoint'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly serviceId: EntityId<'service'>;
  readonly protocol: EndpointProtocol;
  /** `IP:PORT` that callers dial. */
  readonly addresses: readonly string[];
  readonly exposure: Exposure;
  readonly tier: Tier;
  readonly dataClasses: readonly DataClass[];
  readonly owner: string;
  /** Name of its policy. */
  readonly policy: string;
  readonly allowedCallers: readonly SpiffeId[];
  /** Who of them may make which HTTP calls; the first that a call has decides. */
  readonly routes: readonly RouteRecord[];
  /** Outside of the trust domain: reached by one-way TLS, by this name and under these anchors (PEM). Null: one of ours. */
  readonly external: ExternalServer | null;
};

export type ExternalServer = { readonly serverName: string; readonly anchorsPem: string; readonly terms: ExternalTerms };

export const oldTlsVersions = ['1.0', '1.1', '1.2'] as const;
export const revocationChecks = ['off', 'observe', 'enforce'] as const;
export const unknownStatuses = ['accept', 'refuse'] as const;
export const pinnings = ['observe', 'enforce'] as const;

/** What is demanded of the server beside its name and anchors, and what is let pass. */
export type ExternalTerms = {
  /** The lowest version of TLS, under an exception; `1.2` means its weaker suites. Null: as the policy says. */
  readonly oldTls: (typeof oldTlsVersions)[number] | null;
  /** `sha256/` and base64 of the SHA-256 of a key (SubjectPublicKeyInfo); none, or at least two. */
  readonly pins: readonly string[];
  readonly pinning: (typeof pinnings)[number];
  /** Until then pins are enforced that were not observed, or match nothing. */
  readonly pinsForcedUntil: Instant | null;
  /** Our own certificate is shown if the server asks for one. */
  readonly showsCertificate: boolean;
  /** The certificate is shown that the data plane itself holds for this server; excludes the former. */
  readonly showsHeldCertificate: boolean;
  /** Whether its CA is asked if it revoked the server's certificate, and what that does. */
  readonly revocation: (typeof revocationChecks)[number];
  /** What a server meets of whose certificate nobody can say. */
  readonly revocationUnknown: (typeof unknownStatuses)[number];
  /** Ranges in which CAs are asked; none: any public address. */
  readonly revocationFrom: readonly string[];
};

export const noExternalTerms: ExternalTerms = {
  oldTls: null,
  pins: [],
  pinning: 'observe',
  pinsForcedUntil: null,
  showsCertificate: false,
  showsHeldCertificate: false,
  revocation: 'off',
  revocationUnknown: 'accept',
  revocationFrom: [],
};

/** Callers by SPIFFE ID, or by `dns:NAME` and `uri:URI` of their certificates. */
export type RouteRecord = CallPattern & { readonly callers: readonly string[] };

/** Caller service → endpoint: what coverage is counted in. */
export type PathRecord = {
  readonly id: EntityId<'path'>;
  readonly environment: string;
  readonly region: string;
  readonly callerServiceId: EntityId<'service'>;
  readonly caller: SpiffeId;
  readonly endpointId: EntityId<'endpoint'>;
  /** The endpoint names the caller; without it enforcement refuses the path. */
  readonly allowed: boolean;
  /** A proxy of the caller has a listener for it. */
  readonly dialled: boolean;
};

/** `sdk`: the service is its own data plane, so its ports have no sockets of a proxy. */
export const proxyRoles = ['sidecar', 'gateway', 'bridge', 'sdk', 'scanner'] as const;
export type ProxyRole = (typeof proxyRoles)[number];

/** What runs beside the traffic: our own data plane, or Envoy with a companion of ours. */
export const planes = ['native', 'envoy'] as const;
export type Plane = (typeof planes)[number];

export const terminations = ['terminate', 'reencrypt', 'passthrough', 'mutual'] as const;

/** Where TLS of a caller ends; endpoints are called by id or, in a declaration, by name. `mutual`: in another proxy of ours, which demands its certificate. */
export type Termination<Endpoint extends string> =
  | { readonly kind: 'terminate' }
  | { readonly kind: 'reencrypt'; readonly nextEndpoint: Endpoint }
  | ({ readonly kind: 'passthrough' | 'mutual' } & CarriedTerms);

export type CarriedTerms = {
  /** Exact DNS names, and `*.` for one label. */
  readonly serverNames: readonly string[];
  /** Takes what names no server of the port. */
  readonly takesUnknown: boolean;
  readonly idleMs: number;
  readonly maximumConnections: number;
};

/** What a proxy is declared to be; what it runs is derived in fleet. */
export type ProxyRecord = {
  readonly id: EntityId<'proxy'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  /** Null: a scanner, which is the probe and no service. */
  readonly serviceId: EntityId<'service'> | null;
  readonly spiffeId: SpiffeId;
  readonly role: ProxyRole;
  readonly plane: Plane;
  readonly inbound: readonly InboundRecord[];
  readonly outbound: readonly OutboundRecord[];
};

/**
 * Addresses are `IP:PORT` or `unix:/path`; null of the role `sdk`, where the service listens and dials itself, and `upstream` also
 * where TLS begins anew to another endpoint.
 */
export type InboundRecord = {
  readonly endpointId: EntityId<'endpoint'>;
  readonly listen: string | null;
  readonly upstream: string | null;
  readonly termination: Termination<EntityId<'endpoint'>>;
  readonly proxyProtocol: ProxyProtocolTerms;
};

/** Whose PROXY protocol headers are believed (ranges such as `10.0.0.0/8`), and what the upstream is sent first. */
export type ProxyProtocolTerms = { readonly from: readonly string[]; readonly send: (typeof proxyProtocols)[number] };
export const proxyProtocols = ['none', 'v1', 'v2'] as const;
export const noProxyProtocol: ProxyProtocolTerms = { from: [], send: 'none' };
export type OutboundRecord = { readonly endpointId: EntityId<'endpoint'>; readonly listen: string | null };

/** True where TLS goes through a proxy untouched. */
export function isCarried({ kind }: Termination<string>): boolean {
  return kind === 'passthrough' || kind === 'mutual';
}

/** The endpoints that a proxy calls: for its service, and to encrypt anew. */
export function dialledBy({ inbound, outbound }: Pick<ProxyRecord, 'inbound' | 'outbound'>): readonly EntityId<'endpoint'>[] {
  const next = inbound.flatMap(({ termination }) => (termination.kind === 'reencrypt' ? [termination.nextEndpoint] : []));
  return [...outbound.map(({ endpointId }) => endpointId), ...next];
}

/** An agreed gap, with an owner and an end. */
export type ExceptionRecord = {
  readonly id: EntityId<'exception'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly kind: ExceptionKind;
  readonly of:
    | { readonly kind: 'path'; readonly pathId: EntityId<'path'> }
    | { readonly kind: 'endpoint'; readonly endpointId: EntityId<'endpoint'> };
  readonly owner: string;
  readonly reason: string;
  readonly until: Instant;
  /** Who is let in without a certificate, and for what; null of the kinds that let nobody in. */
  readonly anonymous: AnonymousTerms | null;
};

export type AnonymousTerms = {
  /** Ranges such as `10.0.0.0/16`. */
  readonly sources: readonly string[];
  /** None of raw TCP. */
  readonly calls: readonly CallPattern[];
  /** The connection has to be TLS that asks for this server; empty: plaintext, or TLS. */
  readonly serverName: string;
};

/** What probing an address showed. Facts are plain JSON as the prober gave them. */
export type DiscoveredRecord = {
  readonly environment: string;
  readonly region: string;
  /** `IP:PORT`. */
  readonly address: string;
  readonly protocol: EndpointProtocol | 'tls' | 'unknown';
  readonly facts: { readonly [name: string]: unknown };
  readonly firstSeenAt: Instant;
  readonly lastSeenAt: Instant;
};
