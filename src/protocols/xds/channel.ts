import type { EncodedResource } from './encoded-resource.ts';
import type { Ordered } from './push-order.ts';
import type { ResourceSource } from './resource-source.ts';
import type { TypeState } from './type-state.ts';

/** One type of one stream. */
export type Channel<Holder = unknown> = {
  readonly source: ResourceSource<Holder>;
  readonly state: TypeState;
  readonly subscription: Disposable;
  dirty: boolean;
  busy: boolean;
  /** Poked while busy. */
  again: boolean;
  /** Of ordered types: nothing to be added was left at the last look. */
  settled: boolean;
  /** Of ordered types: something stays as it was, because it was refused or is withheld. */
  isBehind: boolean;
  timer: NodeJS.Timeout | null;
  /** Of ordered types, until then: what the client refused on other streams is being read. */
  begun: Promise<void> | null;
};

export function newChannel<Holder>(source: ResourceSource<Holder>, state: TypeState, subscription: Disposable): Channel<Holder> {
  return {
    source,
    state,
    subscription,
    dirty: false,
    busy: false,
    again: false,
    settled: false,
    isBehind: false,
    timer: null,
    begun: null,
  };
}

/** The channels of the types that are sent in an order. */
export function inOrder<Holder>(channels: ReadonlyMap<string, Channel<Holder>>): readonly Channel<Holder>[] {
  return [...channels.values()].filter(({ source }) => source.ordered !== undefined);
}

/** What these show to the one that asks if it may send. */
export function othersOf<Holder>(channels: readonly Channel<Holder>[], channel: Channel<Holder>): readonly Ordered[] {
  return channels
    .filter((other) => other !== channel)
    .map(({ source, settled, isBehind, state }) => ({
      place: source.ordered!.place,
      settled,
      isInForce: state.outstanding === null && !isBehind,
    }));
}

/** Clusters that the client is being sent and had in no form: until it says so, a call that is routed to one of them fails. */
export function unreadyClusters(channels: readonly Channel[]): ReadonlySet<string> {
  const push = channels.find(({ source }) => source.ordered?.place === 'cluster')?.state.outstanding ?? null;
  const fresh = push === null ? [] : push.resources.filter(({ name }) => typeof push.before.get(name) !== 'string');
  return new Set(fresh.map(({ name }) => name));
}

/** A cluster that is replaced waits for its endpoints anew, and does not ask for them again: they are owed. Gives their channel. */
export function oweEndpoints<Holder>(channels: readonly Channel<Holder>[], clusters: readonly EncodedResource[]): Channel<Holder> | null {
  const endpoints = channels.find(({ source }) => source.ordered?.place === 'endpoint');
  if (endpoints === undefined) return null;
  for (const { name } of clusters) if (endpoints.state.named.has(name)) endpoints.state.owed.add(name);
  return endpoints;
}
