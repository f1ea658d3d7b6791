import type { Node, ViolationReason } from '../data-plane/peer.ts';
import type { EncodedResource } from './encoded-resource.ts';
import type { Place } from './push-order.ts';

/**
 * Where the resources of one type come from. Reads give committed state; a resource that the node may not have is not there for it.
 * A listener is told after the commit, of the names that changed, or null for any of them; calls may be merged.
 */
export type ResourceSource<Holder = Node> = {
  readonly typeUrl: string;
  /** Resources in one response. One where a refusal must name its resource: a refusal answers the whole response. */
  readonly maximumPerResponse: number;
  /** Why this node may not even ask for this name (`*` for all), or null. */
  forbids(node: Holder, name: string): ViolationReason | null;
  /** The resources by these names that exist, or all that the node may have for null. */
  read(node: Holder, names: readonly string[] | null): Promise<readonly EncodedResource[]>;
  subscribe(listener: (names: readonly string[] | null) => void): Disposable;
  /** Of the types that are sent in an order. */
  readonly ordered?: OrderedType<Holder>;
};

export type OrderedType<Holder = Node> = {
  readonly place: Place;
  /** A stream of the node asks for one of these types; disposed of when it has ended. */
  attend(node: Holder): Disposable;
  /** A stream of the node begins with this type and these versions of it. Gives the contents by name that it refused on other streams. */
  begin(node: Holder, claimed: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>>;
  /** True if nothing may be sent to the node for now. */
  isHeld(node: Holder): Promise<boolean>;
};

/** What whoever was sent a resource said about it. With `refusal` it kept what it had before. */
export type Answer = {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly refusal?: string;
};

/** The same of a data plane. */
export type Acknowledged = Answer & { readonly proxyId: Node['proxyId'] };
