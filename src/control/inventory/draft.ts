import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { ProfileRecord } from '../policies/profile-store.ts';
import type { PolicyRecord, TargetRecord } from '../policies/store.ts';
import type { Declaration, DeclarationKind } from './declaration.ts';
import type { EndpointRecord, ExceptionRecord, FederatedDomainRecord, PathRecord, ProxyRecord, ServiceRecord } from './record.ts';
import type { InventorySnapshot } from './snapshot.ts';

/** The inventory as it would be: named things by environment and name, paths by their two ends. Changed while a plan is made, then compared. */
export type Draft = {
  readonly services: Map<string, ServiceRecord>;
  readonly endpoints: Map<string, EndpointRecord>;
  readonly paths: Map<string, PathRecord>;
  readonly proxies: Map<string, ProxyRecord>;
  readonly exceptions: Map<string, ExceptionRecord>;
  readonly policies: Map<string, PolicyRecord>;
  readonly profiles: Map<string, ProfileRecord>;
  readonly targets: Map<string, TargetRecord>;
  readonly federatedDomains: Map<string, FederatedDomainRecord>;
};

export function openDraft(snapshot: InventorySnapshot): Draft {
  return {
    services: byName(snapshot.services),
    endpoints: byName(snapshot.endpoints),
    paths: new Map(snapshot.paths.map((path) => [pathKey(path.callerServiceId, path.endpointId), path])),
    proxies: byName(snapshot.proxies),
    exceptions: byName(snapshot.exceptions),
    policies: byName(snapshot.policies),
    profiles: byName(snapshot.profiles),
    targets: byName(snapshot.targets),
    federatedDomains: byName(snapshot.federatedDomains),
  };
}

/** The part of a draft in which things of this kind stand. */
export function draftOf(draft: Draft, kind: DeclarationKind): Map<string, { readonly name: string }> {
  switch (kind) {
    case 'Service':
      return draft.services;
    case 'Endpoint':
      return draft.endpoints;
    case 'Proxy':
      return draft.proxies;
    case 'Exception':
      return draft.exceptions;
    case 'Policy':
      return draft.policies;
    case 'Profile':
      return draft.profiles;
    case 'Target':
      return draft.targets;
    case 'FederatedTrustDomain':
      return draft.federatedDomains;
    default:
      throw new TypeError(`Cannot find kind: ${String(kind satisfies never)}`);
  }
}

export function nameKey(environment: string, name: string): string {
  return `${environment}/${name}`;
}

export function pathKey(callerServiceId: EntityId<'service'>, endpointId: EntityId<'endpoint'>): string {
  return `${callerServiceId}/${endpointId}`;
}

/** A fault that only shows when documents and inventory are seen together. */
export function faultOf({ line, name, kind }: Pick<Declaration, 'line' | 'name'> & { readonly kind: string }, what: string): Problem {
  return new Problem('input-invalid', `Cannot apply declaration: line ${line}, ${kind} ${name}: ${what}`);
}

function byName<Thing extends { readonly environment: string; readonly name: string }>(things: readonly Thing[]): Map<string, Thing> {
  return new Map(things.map((thing) => [nameKey(thing.environment, thing.name), thing]));
}
