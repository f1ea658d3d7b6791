import { makeSignal } from '../../src/platform/clock/signal.ts';
import { encodeResource } from '../../src/protocols/xds/encoded-resource.ts';
import type { ResourceSource } from '../../src/protocols/xds/resource-source.ts';

export type ShelfResource = { readonly name: string; readonly version: string; readonly octets: Uint8Array };

/** Resources of one type that a test puts there, for every node. */
export type XdsShelf = ResourceSource & { put(resources: readonly ShelfResource[]): void };

export function xdsShelf(typeUrl: string): XdsShelf {
  let held: readonly ShelfResource[] = [];
  const changes = makeSignal();
  return {
    typeUrl,
    maximumPerResponse: 1,
    forbids: () => null,
    read: async (_node, names) =>
      held
        .filter(({ name }) => names === null || names.includes(name))
        .map(({ name, version, octets }) => encodeResource(typeUrl, name, version, octets)),
    subscribe: (listener) => changes.subscribe(() => listener(null)),
    put(resources) {
      held = resources;
      changes.notify();
    },
  };
}
