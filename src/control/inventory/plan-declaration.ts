import { Problem } from '../../core/problems/problem.ts';
import { type Declaration, type DeclarationKind } from './declaration.ts';
import { changesBetween, type InventoryChange } from './inventory-change.ts';
import { type Draft, draftOf, faultOf, nameKey, openDraft, pathKey } from './draft.ts';
import {
  draftEndpoint,
  draftException,
  draftFederatedDomain,
  draftPolicy,
  draftProfile,
  draftProxy,
  draftService,
  draftTarget,
  type Placed,
  type PlanContext,
} from './resolve-declaration.ts';
import { oldTlsExceptionOf } from './old-tls-exception.ts';
import { dialledBy, isCarried, type PathRecord } from './record.ts';
import { refuseUnfederated } from './refuse-unfederated.ts';
import { refuseUnkeptExceptions } from './refuse-unkept.ts';
import type { InventorySnapshot } from './snapshot.ts';

/** What applying the documents would do, in the order in which it is done; empty if they say what is so already. */
export type DeclarationPlan = { readonly changes: readonly InventoryChange[] };

/**
 * Compares documents with the inventory. Things that no document names stay as they are; `state: absent` removes; paths follow from
 * allowed callers and outbound listeners.
 * @throws input-invalid where a document names what is not there, or takes away what another still needs
 */
export function planDeclaration(snapshot: InventorySnapshot, declarations: readonly Declaration[], context: PlanContext): DeclarationPlan {
  const placed = declarations.map((declaration) => ({
    ...declaration,
    environment: declaration.environment ?? context.environment,
    region: declaration.region ?? context.region,
  }));
  refuseTwice(placed);
  const draft = openDraft(snapshot);
  const of = <Kind extends Declaration['kind']>(kind: Kind): readonly Placed<Kind>[] =>
    placed.filter((declaration): declaration is Placed<Kind> => declaration.kind === kind);
  for (const absent of of('absent')) removeNamed(draft, absent);
  for (const declaration of of('FederatedTrustDomain')) draftFederatedDomain(draft, declaration, context);
  for (const declaration of of('Service')) draftService(draft, declaration, context);
  for (const declaration of of('Policy')) draftPolicy(draft, declaration, context);
  for (const declaration of of('Profile')) draftProfile(draft, declaration, context);
  for (const declaration of of('Endpoint')) draftEndpoint(draft, declaration, context);
  for (const declaration of of('Proxy')) draftProxy(draft, declaration, context);
  derivePaths(draft, context);
  for (const declaration of of('Exception')) draftException(draft, declaration, context);
  for (const declaration of of('Endpoint')) refuseOldTls(draft, declaration, context);
  for (const declaration of of('Target')) draftTarget(draft, declaration, context);
  refuseDangling(draft);
  refuseUnservedMutual(draft);
  refuseUnfederated(draft, context.trustDomain);
  refuseUnkeptExceptions(draft, context.now);
  return { changes: changesBetween(openDraft(snapshot), draft) };
}

/** Old TLS is let pass by name, with an owner and an end, or not at all. */
function refuseOldTls(draft: Draft, declaration: Placed<'Endpoint'>, { now }: PlanContext): void {
  const endpoint = draft.endpoints.get(nameKey(declaration.environment, declaration.name))!;
  if ((endpoint.external?.terms.oldTls ?? null) === null) return;
  if (oldTlsExceptionOf(endpoint.id, { paths: [...draft.paths.values()], exceptions: [...draft.exceptions.values()] }, now) !== null)
    return;
  throw faultOf(declaration, 'oldTls needs a current exception of the kind legacy-tls-hop, of the endpoint or of a path to it');
}

function refuseTwice(placed: readonly (Declaration & { readonly environment: string })[]): void {
  const seen = new Set<string>();
  for (const declaration of placed) {
    const kind: DeclarationKind = declaration.kind === 'absent' ? declaration.of : declaration.kind;
    const key = `${kind} ${nameKey(declaration.environment, declaration.name)}`;
    if (seen.has(key)) throw faultOf({ ...declaration, kind }, 'it is declared twice');
    seen.add(key);
  }
}

function removeNamed(draft: Draft, { of, environment, name }: Placed<'absent'>): void {
  draftOf(draft, of).delete(nameKey(environment, name));
}

/** A path for each allowed caller and each outbound listener; whatever is neither any more goes. Ids stay with their two ends. */
function derivePaths(draft: Draft, { newId }: PlanContext): void {
  const before = new Map(draft.paths);
  draft.paths.clear();
  const services = new Map([...draft.services.values()].map((service) => [service.id, service]));
  const bySpiffeId = new Map([...draft.services.values()].map((service) => [service.spiffeId, service]));
  const endpoints = new Map([...draft.endpoints.values()].map((endpoint) => [endpoint.id, endpoint]));
  const put = (callerId: PathRecord['callerServiceId'], endpointId: PathRecord['endpointId'], by: 'allowed' | 'dialled'): void => {
    const caller = services.get(callerId);
    const endpoint = endpoints.get(endpointId);
    if (caller === undefined || endpoint === undefined) return;
    const key = pathKey(callerId, endpointId);
    const held = draft.paths.get(key);
    draft.paths.set(key, {
      id: held?.id ?? before.get(key)?.id ?? newId('path'),
      environment: endpoint.environment,
      region: endpoint.region,
      callerServiceId: callerId,
      caller: caller.spiffeId,
      endpointId,
      allowed: by === 'allowed' || held?.allowed === true,
      dialled: by === 'dialled' || held?.dialled === true,
    });
  };
  for (const { id, allowedCallers } of draft.endpoints.values()) {
    for (const spiffeId of allowedCallers) {
      const caller = bySpiffeId.get(spiffeId);
      if (caller !== undefined) put(caller.id, id, 'allowed');
    }
  }
  for (const { serviceId, inbound, outbound } of draft.proxies.values()) {
    for (const endpointId of dialledBy({ inbound, outbound })) if (serviceId !== null) put(serviceId, endpointId, 'dialled');
  }
}

/** Nothing may name what is gone: it would be found out only by the proxies. */
function refuseDangling(draft: Draft): void {
  const services = new Set([...draft.services.values()].map(({ id }) => id));
  const spiffeIds = new Set<string>([...draft.services.values()].map(({ spiffeId }) => spiffeId));
  const endpoints = new Set([...draft.endpoints.values()].map(({ id }) => id));
  const paths = new Set([...draft.paths.values()].map(({ id }) => id));
  for (const endpoint of draft.endpoints.values()) {
    if (!services.has(endpoint.serviceId)) throw dangling('Endpoint', endpoint.name, 'its service');
    if (!endpoint.allowedCallers.every((caller) => spiffeIds.has(caller))) throw dangling('Endpoint', endpoint.name, 'an allowed caller');
    if (endpoint.policy !== 'default' && !draft.policies.has(nameKey(endpoint.environment, endpoint.policy))) {
      throw dangling('Endpoint', endpoint.name, 'its policy');
    }
  }
  for (const proxy of draft.proxies.values()) {
    if (proxy.serviceId !== null && !services.has(proxy.serviceId)) throw dangling('Proxy', proxy.name, 'its service');
    const named = [...proxy.inbound.map(({ endpointId }) => endpointId), ...dialledBy(proxy)];
    if (!named.every((endpointId) => endpoints.has(endpointId))) throw dangling('Proxy', proxy.name, 'an endpoint');
  }
  for (const { name, of } of draft.exceptions.values()) {
    const isThere = of.kind === 'path' ? paths.has(of.pathId) : endpoints.has(of.endpointId);
    if (!isThere) throw dangling('Exception', name, `its ${of.kind}`);
  }
  for (const { name, endpoints: named } of draft.targets.values()) {
    if (named !== 'all' && !named.every((id) => endpoints.has(id))) throw dangling('Target', name, 'an endpoint');
  }
}

/** Mutual end to end is a promise that somebody at the other end keeps: a proxy of ours, where TLS of the endpoint ends. */
function refuseUnservedMutual({ proxies, endpoints }: Draft): void {
  const all = [...proxies.values()];
  const ended = new Set(
    all.flatMap(({ inbound }) => inbound.filter(({ termination }) => !isCarried(termination)).map(({ endpointId }) => endpointId)),
  );
  const routedIds = new Set([...endpoints.values()].filter(({ routes }) => routes.length > 0).map(({ id }) => id));
  for (const { name, inbound } of all) {
    const unserved = inbound.find(({ termination, endpointId }) => termination.kind === 'mutual' && !ended.has(endpointId));
    // Routes are kept where the calls are read, and nowhere else.
    const routed = inbound.find(({ endpointId }) => !ended.has(endpointId) && routedIds.has(endpointId));
    if (routed !== undefined) {
      throw new Problem(
        'state-conflict',
        `Cannot apply declaration: Proxy ${name} passes an endpoint with routes through, expected another proxy or sdk that terminates it`,
      );
    }
    if (unserved === undefined) continue;
    const endpoint = [...endpoints.values()].find(({ id }) => id === unserved.endpointId)!;
    throw new Problem(
      'state-conflict',
      `Cannot apply declaration: Proxy ${name} passes ${endpoint.name} through as mutual, expected another proxy or sdk that terminates it`,
    );
  }
}

function dangling(kind: DeclarationKind, name: string, what: string): Problem {
  return new Problem('state-conflict', `Cannot apply declaration: ${kind} ${name} would name what is gone: ${what}`);
}
