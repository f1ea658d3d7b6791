import { profileDigest } from '../../core/issuance/profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { parseSpiffeId, probeSpiffeId, serviceSpiffeId, type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId, EntityKind } from '../../core/ids/entity-id.ts';
import { canonicalJson, type JsonValue } from '../../core/merkle/canonical-json.ts';
import { policyDigest } from '../../core/policy/policy-digest.ts';
import { type AnonymousKind, anonymousKinds } from '../../core/policy/exception-kind.ts';
import { parseRolloutConfig } from '../../core/rollout/rollout-config.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { Declaration } from './declaration.ts';
import { type Draft, faultOf, nameKey, pathKey } from './draft.ts';
import type { EndpointRecord, ExternalServer, ServiceRecord, Termination } from './record.ts';

/** What a plan is made in: the installation's own names, a time and a source of ids. */
export type PlanContext = {
  readonly trustDomain: TrustDomain;
  /** Of documents that name none. */
  readonly environment: string;
  readonly region: string;
  readonly now: Instant;
  readonly newId: <Kind extends EntityKind>(kind: Kind) => EntityId<Kind>;
};

export type Placed<Kind extends Declaration['kind']> = Extract<Declaration, { readonly kind: Kind }> & {
  readonly environment: string;
  readonly region: string;
};

/** @throws input-invalid where an identity is given that is ours, or another service's */
export function draftService(draft: Draft, declaration: Placed<'Service'>, { trustDomain, newId }: PlanContext): void {
  const { environment, region, name, owner, tier } = declaration;
  const key = nameKey(environment, name);
  const id = draft.services.get(key)?.id ?? newId('service');
  const spiffeId = declaration.spiffeId ?? serviceSpiffeId(trustDomain, environment, name);
  if (declaration.spiffeId !== null && trustDomainOf(spiffeId) === trustDomain) {
    throw faultOf(declaration, `spiffeId is of ${trustDomain}, where identities follow from names; expected one of another trust domain`);
  }
  const other = [...draft.services].find(([held, service]) => held !== key && service.spiffeId === spiffeId);
  if (other !== undefined) throw faultOf(declaration, `${spiffeId} is service ${other[1].name} of ${other[1].environment} already`);
  draft.services.set(key, { id, environment, region, name, owner, tier, spiffeId });
}

export function draftPolicy(draft: Draft, declaration: Placed<'Policy'>, { now, newId }: PlanContext): void {
  const { environment, region, name, policy } = declaration;
  const key = nameKey(environment, name);
  const held = draft.policies.get(key);
  const digest = policyDigest(policy);
  const updatedAt = held?.digest === digest ? held.updatedAt : now;
  draft.policies.set(key, { id: held?.id ?? newId('policy'), environment, region, name, digest, policy, updatedAt });
}

export function draftProfile(draft: Draft, declaration: Placed<'Profile'>, { now, newId }: PlanContext): void {
  const { environment, region, name, spec } = declaration;
  const key = nameKey(environment, name);
  const held = draft.profiles.get(key);
  const digest = profileDigest(spec);
  const updatedAt = held?.digest === digest ? held.updatedAt : now;
  draft.profiles.set(key, { ...spec, id: held?.id ?? newId('profile'), environment, region, name: name as ProfileName, digest, updatedAt });
}

/** @throws input-invalid for our own trust domain, and for one that another declaration of the environment names */
export function draftFederatedDomain(
  draft: Draft,
  declaration: Placed<'FederatedTrustDomain'>,
  { trustDomain: own, newId }: PlanContext,
): void {
  const { environment, region, name, trustDomain, url, endpoint } = declaration;
  if (trustDomain === own) throw faultOf(declaration, `${own} is our own trust domain, whose bundle nobody else may name`);
  const key = nameKey(environment, name);
  const other = [...draft.federatedDomains].find(
    ([held, record]) => held !== key && record.environment === environment && record.trustDomain === trustDomain,
  );
  if (other !== undefined) throw faultOf(declaration, `${trustDomain} is declared in ${environment} as ${other[1].name} already`);
  const count = [...draft.federatedDomains].filter(([held, record]) => held !== key && record.environment === environment).length;
  if (count >= MAXIMUM_FEDERATED)
    throw faultOf(declaration, `there are ${count} in ${environment} already, expected at most ${MAXIMUM_FEDERATED}`);
  draft.federatedDomains.set(key, {
    id: draft.federatedDomains.get(key)?.id ?? newId('domain'),
    environment,
    region,
    name,
    trustDomain,
    url,
    endpoint,
  });
}

/** @throws input-invalid where it names a service, caller or policy that is not there */
export function draftEndpoint(draft: Draft, declaration: Placed<'Endpoint'>, { now, newId }: PlanContext): void {
  const { environment, region, name, policy, external } = declaration;
  const key = nameKey(environment, name);
  const service = draft.services.get(nameKey(environment, declaration.service));
  if (service === undefined) throw faultOf(declaration, `service ${declaration.service} is not declared in ${environment}`);
  if (policy !== 'default' && !draft.policies.has(nameKey(environment, policy))) {
    throw faultOf(declaration, `policy ${policy} is not declared in ${environment}`);
  }
  const { protocol, addresses, exposure, tier, dataClasses, owner } = declaration;
  const allowedCallers = declaration.allowedCallers.map((caller) => resolveCaller(draft, declaration, caller).spiffeId).toSorted();
  const held = draft.endpoints.get(key) ?? null;
  if (external !== null && !mayEnforcePins(external, held?.external ?? null, now)) {
    throw faultOf(declaration, 'pins are observed before they are enforced: pinning observe first, or pinsForcedUntil a day to come');
  }
  draft.endpoints.set(key, {
    id: held?.id ?? newId('endpoint'),
    environment,
    region,
    name,
    serviceId: service.id,
    protocol,
    addresses,
    exposure,
    tier,
    dataClasses,
    owner,
    policy,
    external,
    allowedCallers,
    routes: declaration.routes.map((route) => ({
      ...route,
      callers: resolveRouteCallers(draft, declaration, route.callers, allowedCallers),
    })),
  });
}

/** A set of pins that nobody has seen at work yet could lock every caller out at once. */
function mayEnforcePins({ terms }: ExternalServer, held: ExternalServer | null, now: Instant): boolean {
  if (terms.pinning === 'observe' || terms.pins.length === 0) return true;
  const wereObserved = canonicalJson(held?.terms.pins ?? []) === canonicalJson(terms.pins);
  return wereObserved || (terms.pinsForcedUntil !== null && terms.pinsForcedUntil > now);
}

/** @throws input-invalid where an endpoint is not there, is another service's or is outside of the trust domain */
export function draftProxy(draft: Draft, declaration: Placed<'Proxy'>, { trustDomain, newId }: PlanContext): void {
  const { environment, region, name, role, plane } = declaration;
  const key = nameKey(environment, name);
  const service = declaration.service === null ? null : draft.services.get(nameKey(environment, declaration.service));
  if (service === undefined) throw faultOf(declaration, `service ${declaration.service} is not declared in ${environment}`);
  const inbound = declaration.inbound.map(({ endpoint: endpointName, listen, upstream, termination, proxyProtocol }) => {
    const endpoint = resolveEndpoint(draft, declaration, endpointName);
    if (endpoint.external !== null)
      throw faultOf(declaration, `endpoint ${endpointName} is outside of the trust domain, no proxy can serve it`);
    // Who only carries TLS on needs nothing of the service's identity.
    const isCarried = termination.kind === 'passthrough' || termination.kind === 'mutual';
    if (endpoint.serviceId !== service?.id && !isCarried) {
      throw faultOf(declaration, `endpoint ${endpointName} is not of service ${declaration.service}`);
    }
    if (proxyProtocol.send !== 'none' && !isCarried && (endpoint.protocol !== 'tcp' || termination.kind === 'reencrypt')) {
      throw faultOf(
        declaration,
        `sendProxyProtocol at ${endpointName}: calls share connections, so only tcp and what passes through can be told`,
      );
    }
    const resolved = resolveTermination(draft, declaration, { endpoint, termination });
    return { endpointId: endpoint.id, listen, upstream, termination: resolved, proxyProtocol };
  });
  const outbound = declaration.outbound.map(({ endpoint, listen }) => ({
    endpointId: resolveEndpoint(draft, declaration, endpoint).id,
    listen,
  }));
  const id = draft.proxies.get(key)?.id ?? newId('proxy');
  const spiffeId = service?.spiffeId ?? probeSpiffeId(trustDomain, environment);
  draft.proxies.set(key, { id, environment, region, name, serviceId: service?.id ?? null, spiffeId, role, plane, inbound, outbound });
}

function resolveTermination(
  draft: Draft,
  declaration: Placed<'Proxy'>,
  { endpoint, termination }: { readonly endpoint: EndpointRecord; readonly termination: Termination<string> },
): Termination<EntityId<'endpoint'>> {
  if (termination.kind !== 'reencrypt') return termination;
  const next = resolveEndpoint(draft, declaration, termination.nextEndpoint);
  if (next.id === endpoint.id) throw faultOf(declaration, `endpoint ${endpoint.name} cannot be its own next endpoint`);
  if (next.protocol !== endpoint.protocol) {
    throw faultOf(declaration, `next endpoint ${next.name} speaks ${next.protocol}, and ${endpoint.name} ${endpoint.protocol}`);
  }
  return { kind: 'reencrypt', nextEndpoint: next.id };
}

/** @throws input-invalid where the path or endpoint is not there */
export function draftException(draft: Draft, declaration: Placed<'Exception'>, { now, newId }: PlanContext): void {
  const { environment, region, name, of, owner, reason, until, exception, anonymous } = declaration;
  const key = nameKey(environment, name);
  const endpoint = resolveEndpoint(draft, declaration, of.endpoint);
  const id = draft.exceptions.get(key)?.id ?? newId('exception');
  const common = { id, environment, region, name, kind: exception, owner, reason, until, anonymous };
  if (anonymous !== null) refuseLongLife(declaration, now);
  if (of.kind === 'endpoint') {
    draft.exceptions.set(key, { ...common, of: { kind: 'endpoint', endpointId: endpoint.id } });
    return;
  }
  const path = draft.paths.get(pathKey(resolveCaller(draft, declaration, of.caller).id, endpoint.id));
  if (path === undefined) throw faultOf(declaration, `there is no path from ${of.caller} to ${of.endpoint}`);
  draft.exceptions.set(key, { ...common, of: { kind: 'path', pathId: path.id } });
}

/** An end that is far away is none: somebody has to say anew that the caller still cannot prove itself. */
function refuseLongLife(declaration: Placed<'Exception'>, now: Instant): void {
  const { exception, until } = declaration;
  const { lastsAtMostMs } = anonymousKinds[exception as AnonymousKind];
  if (until <= now + lastsAtMostMs) return;
  throw faultOf(
    declaration,
    `until is ${new Date(until).toISOString()}, expected at most ${lastsAtMostMs / DAY_MS} days from now for a ${exception}`,
  );
}

/** @throws input-invalid where an endpoint or unwanted caller is not there */
export function draftTarget(draft: Draft, declaration: Placed<'Target'>, { now, newId, trustDomain }: PlanContext): void {
  const { environment, region, name, mode } = declaration;
  const key = nameKey(environment, name);
  const held = draft.targets.get(key);
  const endpoints =
    declaration.endpoints === 'all'
      ? 'all'
      : declaration.endpoints.map((endpoint) => resolveEndpoint(draft, declaration, endpoint).id).toSorted();
  const unwanted = declaration.unwanted.map(({ endpoint, caller, reason }) => ({
    endpointId: resolveEndpoint(draft, declaration, endpoint).id,
    // Whoever is unwanted need not be declared: what was seen of it is its identity.
    caller: caller.startsWith('spiffe://') ? parseSpiffeId(caller) : serviceSpiffeId(trustDomain, environment, caller),
    reason,
  }));
  const config = parseRolloutConfig({ ...declaration.conditions, unwanted });
  const next = { id: held?.id ?? newId('rollout'), environment, region, name, endpoints, mode, config } as const;
  const { updatedAt, ...before } = held ?? { updatedAt: now };
  draft.targets.set(key, {
    ...next,
    updatedAt: held !== undefined && canonicalJson(before as JsonValue) === canonicalJson(next) ? updatedAt : now,
  });
}

/** A route narrows who may call: whoever is not allowed at all has no path, so nothing would bring it to mutual TLS. */
function resolveRouteCallers(
  draft: Draft,
  declaration: Placed<'Endpoint'>,
  callers: readonly string[],
  allowed: readonly SpiffeId[],
): readonly string[] {
  return callers
    .map((caller) => {
      if (caller.startsWith('dns:') || caller.startsWith('uri:')) return caller;
      const { spiffeId } = resolveCaller(draft, declaration, caller);
      if (!allowed.includes(spiffeId)) throw faultOf(declaration, `caller ${caller} of a route is no allowed caller of the endpoint`);
      return spiffeId;
    })
    .toSorted();
}

/** A service by its name in the same environment, or by its SPIFFE ID in any. */
function resolveCaller(draft: Draft, declaration: Declaration & { readonly environment: string }, caller: string): ServiceRecord {
  const service = caller.startsWith('spiffe://')
    ? [...draft.services.values()].find(({ spiffeId }: { readonly spiffeId: SpiffeId }) => spiffeId === caller)
    : draft.services.get(nameKey(declaration.environment, caller));
  if (service === undefined) throw faultOf(declaration, `caller ${caller} is no declared service`);
  return service;
}

function resolveEndpoint(draft: Draft, declaration: Declaration & { readonly environment: string }, name: string): EndpointRecord {
  const endpoint = draft.endpoints.get(nameKey(declaration.environment, name));
  if (endpoint === undefined) throw faultOf(declaration, `endpoint ${name} is not declared in ${declaration.environment}`);
  return endpoint;
}

/** What a data plane takes. */
const MAXIMUM_FEDERATED = 50;
