import type { ProfileSpec } from '../../core/issuance/profile-spec.ts';
import type { ExceptionKind } from '../../core/policy/exception-kind.ts';
import type { Mode } from '../../core/policy/mode.ts';
import type { Policy, Tier } from '../../core/policy/policy.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { Instant } from '../../core/time/instant.ts';
import type {
  AnonymousTerms,
  BundleEndpoint,
  DataClass,
  EndpointProtocol,
  Exposure,
  ExternalServer,
  Plane,
  ProxyProtocolTerms,
  ProxyRole,
  Termination,
} from './record.ts';

/** One YAML document, parsed: every field is of its form; names of other things are not resolved yet. */
export type Declaration = {
  /** Where the document begins, from 1, for messages. */
  readonly line: number;
  readonly name: string;
  /** Null: the control plane's own. */
  readonly environment: string | null;
  readonly region: string | null;
} & (
  | AbsentDeclaration
  | ServiceDeclaration
  | EndpointDeclaration
  | ProxyDeclaration
  | ExceptionDeclaration
  | PolicyDeclaration
  | ProfileDeclaration
  | TargetDeclaration
  | FederatedDomainDeclaration
);

export const declarationKinds = [
  'Service',
  'Endpoint',
  'Proxy',
  'Exception',
  'Policy',
  'Profile',
  'Target',
  'FederatedTrustDomain',
] as const;
export type DeclarationKind = (typeof declarationKinds)[number];

/** `state: absent`: the thing of that kind and name shall not be there. */
export type AbsentDeclaration = { readonly kind: 'absent'; readonly of: DeclarationKind };

export type ServiceDeclaration = {
  readonly kind: 'Service';
  readonly owner: string;
  readonly tier: Tier;
  /** Of another trust domain; null: one of ours, whose identity follows from its name. */
  readonly spiffeId: SpiffeId | null;
};

export type EndpointDeclaration = {
  readonly kind: 'Endpoint';
  readonly service: string;
  readonly protocol: EndpointProtocol;
  readonly addresses: readonly string[];
  readonly exposure: Exposure;
  readonly tier: Tier;
  readonly dataClasses: readonly DataClass[];
  readonly owner: string;
  readonly policy: string;
  /** Names of services of the same environment, or SPIFFE IDs of services. */
  readonly allowedCallers: readonly string[];
  readonly routes: readonly RouteDeclaration[];
  readonly external: ExternalServer | null;
};

export type InboundDeclaration = {
  readonly endpoint: string;
  readonly listen: string | null;
  readonly upstream: string | null;
  readonly termination: Termination<string>;
  readonly proxyProtocol: ProxyProtocolTerms;
};

/** Callers are services as in `allowedCallers`, or `dns:NAME` and `uri:URI` of their certificates. */
export type RouteDeclaration = {
  readonly methods: readonly string[];
  readonly host: string;
  readonly path: string;
  readonly callers: readonly string[];
};

export type ProxyDeclaration = {
  readonly kind: 'Proxy';
  /** Null of a scanner only. */
  readonly service: string | null;
  readonly role: ProxyRole;
  readonly plane: Plane;
  /** Addresses are null of the role `sdk` only. */
  readonly inbound: readonly InboundDeclaration[];
  readonly outbound: readonly { readonly endpoint: string; readonly listen: string | null }[];
};

export type ExceptionDeclaration = {
  readonly kind: 'Exception';
  readonly exception: ExceptionKind;
  readonly of:
    | { readonly kind: 'path'; readonly caller: string; readonly endpoint: string }
    | { readonly kind: 'endpoint'; readonly endpoint: string };
  readonly owner: string;
  readonly reason: string;
  readonly until: Instant;
  readonly anonymous: AnonymousTerms | null;
};

export type PolicyDeclaration = { readonly kind: 'Policy'; readonly policy: Policy };

export type ProfileDeclaration = { readonly kind: 'Profile'; readonly spec: ProfileSpec };

export type FederatedDomainDeclaration = {
  readonly kind: 'FederatedTrustDomain';
  readonly trustDomain: TrustDomain;
  readonly url: string;
  readonly endpoint: BundleEndpoint;
};

export type TargetDeclaration = {
  readonly kind: 'Target';
  readonly endpoints: 'all' | readonly string[];
  readonly mode: Mode;
  /** Conditions of the rollout, as `parseRolloutConfig` takes them, without `unwanted`. */
  readonly conditions: { readonly [key: string]: unknown };
  readonly unwanted: readonly { readonly endpoint: string; readonly caller: string; readonly reason: string }[];
};
