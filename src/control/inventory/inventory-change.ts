import { canonicalJson } from '../../core/merkle/canonical-json.ts';
import type { ProfileRecord } from '../policies/profile-store.ts';
import type { PolicyRecord, TargetRecord } from '../policies/store.ts';
import type { JsonValue } from '../audit/entry.ts';
import type { DeclarationKind } from './declaration.ts';
import type { Draft } from './draft.ts';
import type { EndpointRecord, ExceptionRecord, FederatedDomainRecord, PathRecord, ProxyRecord, ServiceRecord } from './record.ts';

/** One thing that is added, changed or removed. */
export type InventoryChange =
  | Change<'Service', ServiceRecord>
  | Change<'Policy', PolicyRecord>
  | Change<'Profile', ProfileRecord>
  | Change<'Endpoint', EndpointRecord>
  | Change<'Proxy', ProxyRecord>
  | Change<'Path', PathRecord>
  | Change<'Exception', ExceptionRecord>
  | Change<'Target', TargetRecord>
  | Change<'FederatedTrustDomain', FederatedDomainRecord>;

export type ChangeKind = DeclarationKind | 'Path';

type Change<Kind extends ChangeKind, Thing> = {
  readonly kind: Kind;
  readonly environment: string;
  readonly region: string;
  /** A path's name is `caller → endpoint`. */
  readonly name: string;
} & (
  | { readonly action: 'add'; readonly before: null; readonly after: Thing }
  | { readonly action: 'change'; readonly before: Thing; readonly after: Thing }
  | { readonly action: 'remove'; readonly before: Thing; readonly after: null }
);

/** A change as it is shown and logged: fields by name, ids replaced by names. */
export type ShownChange = {
  readonly action: 'add' | 'change' | 'remove';
  readonly kind: ChangeKind;
  readonly environment: string;
  readonly name: string;
  readonly fields: readonly { readonly field: string; readonly before: JsonValue; readonly after: JsonValue }[];
};

/** In an order that can be written as it stands. */
export function changesBetween(before: Draft, after: Draft): readonly InventoryChange[] {
  return [
    ...compare('FederatedTrustDomain', before.federatedDomains, after.federatedDomains, nameOf),
    ...compare('Service', before.services, after.services, nameOf),
    ...compare('Policy', before.policies, after.policies, nameOf),
    ...compare('Profile', before.profiles, after.profiles, nameOf),
    ...compare('Endpoint', before.endpoints, after.endpoints, nameOf),
    ...compare('Proxy', before.proxies, after.proxies, nameOf),
    ...compare('Path', before.paths, after.paths, pathNamer(before, after)),
    ...compare('Exception', before.exceptions, after.exceptions, nameOf),
    ...compare('Target', before.targets, after.targets, nameOf),
  ] as InventoryChange[];
}

type Placed = { readonly id: string; readonly environment: string; readonly region: string };

function compare<Thing extends Placed>(
  kind: ChangeKind,
  before: ReadonlyMap<string, Thing>,
  after: ReadonlyMap<string, Thing>,
  name: (thing: Thing) => string,
): readonly Change<ChangeKind, Thing>[] {
  const removed = [...before].filter(([key]) => !after.has(key));
  return [
    ...removed.map(([, thing]) => ({ kind, ...placeOf(thing), name: name(thing), action: 'remove', before: thing, after: null }) as const),
    ...[...after].flatMap(([key, thing]): readonly Change<ChangeKind, Thing>[] => {
      const held = before.get(key);
      const common = { kind, ...placeOf(thing), name: name(thing), after: thing };
      if (held === undefined) return [{ ...common, action: 'add', before: null }];
      return held === thing || sameContent(held, thing) ? [] : [{ ...common, action: 'change', before: held }];
    }),
  ];
}

/** Records are plain data; the order of their keys says nothing. */
function sameContent(a: object, b: object): boolean {
  return canonicalJson(a as JsonValue) === canonicalJson(b as JsonValue);
}

function placeOf({ environment, region }: Placed): { readonly environment: string; readonly region: string } {
  return { environment, region };
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

function pathNamer(before: Draft, after: Draft): (path: PathRecord) => string {
  const things = [...before.services.values(), ...before.endpoints.values(), ...after.services.values(), ...after.endpoints.values()];
  const names = new Map<string, string>(things.map(({ id, name }) => [id, name]));
  return ({ callerServiceId, endpointId }) => `${names.get(callerServiceId)} → ${names.get(endpointId)}`;
}
