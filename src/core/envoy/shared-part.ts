import { toBinary } from '@bufbuild/protobuf';
import { type Inbound, InboundSchema, type RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';
import type { EnvoyInput } from './compile-input.ts';

/**
 * What `make` gives for this port, made once for all replicas of a service: they differ in where they listen, and in nothing that `make` may look at. It is
 * kept as long as whom to trust and whom not to is the same, to the object.
 */
export function sharedPart<T extends object>(kind: string, input: EnvoyInput, inbound: Inbound, make: () => T): T {
  const { revoked, trust, crls, settings } = input;
  const held = shelves.get(revoked);
  const shelf: Shelf = held !== undefined && held.trust === trust && held.crls === crls ? held : { trust, crls, parts: new Map() };
  shelves.set(revoked, shelf);
  const { listen: _listen, ...rest } = inbound;
  const key = `${kind} ${settings.trustDomain} ${Buffer.from(toBinary(InboundSchema, rest as Inbound)).toString('latin1')}`;
  const found = shelf.parts.get(key) as T | undefined;
  if (found !== undefined) return found;
  const made = make();
  if (shelf.parts.size >= MAXIMUM_PARTS) shelf.parts.clear();
  shelf.parts.set(key, made);
  return made;
}

type Shelf = { readonly trust: EnvoyInput['trust']; readonly crls: EnvoyInput['crls']; readonly parts: Map<string, object> };

const shelves = new WeakMap<RevokedSet, Shelf>();
/** Ports of some hundred services; some ten kilobytes each. */
const MAXIMUM_PARTS = 1_000;
