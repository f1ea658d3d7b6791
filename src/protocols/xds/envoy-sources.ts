import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../core/messages/type-urls.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Node } from '../data-plane/peer.ts';
import type { EncodedResource } from './encoded-resource.ts';
import type { EnvoyBook } from './envoy-book.ts';
import type { EnvoySnapshots } from './envoy-snapshots.ts';
import type { Place } from './push-order.ts';
import type { ResourceSource } from './resource-source.ts';

/** The five types that Envoy asks for, of the proxy that the node's certificate names: what an Envoy says about itself is not looked at. */
export function envoySources(deps: {
  readonly snapshots: EnvoySnapshots;
  readonly book: EnvoyBook;
  readonly log: Log;
}): readonly ResourceSource[] {
  return envoyTypes.map((type) => envoySource(type, deps));
}

export function isEnvoyType(typeUrl: string): boolean {
  return envoyTypes.some((type) => type.typeUrl === typeUrl);
}

type EnvoyType = { readonly place: Place; readonly typeUrl: string; readonly maximumPerResponse: number };

function envoySource(
  { place, typeUrl, maximumPerResponse }: EnvoyType,
  { snapshots, book, log }: Parameters<typeof envoySources>[0],
): ResourceSource {
  return {
    typeUrl,
    maximumPerResponse,
    forbids: () => null,
    async read({ proxyId }, names) {
      const held = (await snapshots.read(proxyId))?.resources.get(typeUrl);
      if (held === undefined) return [];
      return names === null ? [...held.values()] : names.map((name) => held.get(name)).filter(isThere);
    },
    subscribe: (listener) => snapshots.subscribe(() => listener(null)),
    ordered: {
      place,
      attend: ({ proxyId }) => book.attend(proxyId),
      begin: ({ proxyId }, claimed) => book.begin(proxyId, typeUrl, claimed),
      isHeld: (node) => isHeld(node, { snapshots, book, log }),
    },
  };
}

/** Nothing is sent to an Envoy that is none by its declaration, nor to one that is ahead of us: it would be told to forget. */
async function isHeld({ proxyId }: Node, { snapshots, book, log }: Parameters<typeof envoySources>[0]): Promise<boolean> {
  const snapshot = await snapshots.read(proxyId);
  const isIdle = snapshot === null;
  if (book.noteIdle(proxyId, isIdle) && isIdle) log('warn', 'envoy.without-settings', { proxyId });
  if (isIdle) return true;
  const { isOlder, changed, claimed } = book.judge(proxyId, snapshot.stamp);
  if (changed) log('warn', isOlder ? 'envoy.state-older' : 'envoy.state-caught-up', { proxyId, ours: snapshot.stamp, claimed });
  return isOlder;
}

function isThere(resource: EncodedResource | undefined): resource is EncodedResource {
  return resource !== undefined;
}

/** A refusal answers a whole response, and not all of it has to be meant: what is refused most goes alone. */
const envoyTypes: readonly EnvoyType[] = [
  { place: 'cluster', typeUrl: CLUSTER_TYPE, maximumPerResponse: 100 },
  { place: 'endpoint', typeUrl: ENDPOINT_TYPE, maximumPerResponse: 500 },
  { place: 'secret', typeUrl: SECRET_TYPE, maximumPerResponse: 1 },
  { place: 'listener', typeUrl: LISTENER_TYPE, maximumPerResponse: 1 },
  { place: 'route', typeUrl: ROUTE_TYPE, maximumPerResponse: 50 },
];
