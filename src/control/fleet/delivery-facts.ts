import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Scope } from '../access/principal.ts';
import { dialledBy, type InboundRecord, isCarried } from '../inventory/record.ts';
import { listDeclaredProxies, listPaths } from '../inventory/store.ts';
import { readSettledRevision } from './reconcile.ts';
import { type JoinedProxy, listJoinedProxies } from './joined-proxy-store.ts';
import { listSettings, type SettingsRecord } from './store.ts';

/** How far the present settings of one proxy have come. */
export type ProxyDelivery = {
  readonly proxyId: EntityId<'proxy'>;
  readonly name: string;
  /** The generation that it must run; 0 if none is made yet. */
  readonly generation: number;
  readonly delivery:
    | { readonly kind: 'acknowledged' }
    | { readonly kind: 'pending' }
    | { readonly kind: 'refused'; readonly detail: string };
  readonly connected: boolean;
  /** Null: it never joined. */
  readonly lastSeenAt: Instant | null;
};

/** Which proxies stand at the two ends of each path. */
export type DeliveryFacts = {
  readonly proxies: ReadonlyMap<EntityId<'proxy'>, ProxyDelivery>;
  readonly callersOf: ReadonlyMap<EntityId<'path'>, readonly ProxyDelivery[]>;
  readonly receiversOf: ReadonlyMap<EntityId<'endpoint'>, readonly ProxyDelivery[]>;
};

/**
 * Reads how far the settings have come. `acknowledged` is said only of settings that are made from all that is committed:
 * after a change everything is pending until the settings were compiled anew.
 */
export async function deliveryFacts(queries: Queries, scope: Scope = '*'): Promise<DeliveryFacts> {
  const before = await readSettledRevision(queries);
  const settings = new Map((await listSettings(queries, scope)).map((record) => [record.proxyId, record]));
  const joined = new Map((await listJoinedProxies(queries, scope)).map((proxy) => [proxy.id, proxy]));
  const declared = await listDeclaredProxies(queries, scope);
  const paths = await listPaths(queries, '*');
  // Read first and last: a change that was made and compiled in between would take an older acknowledgement for its own.
  const settled = before !== null && before === (await readSettledRevision(queries));
  const proxies = new Map(
    declared.map(({ id, name }) => [id, toDelivery(id, name, settings.get(id) ?? null, joined.get(id) ?? null, settled)]),
  );
  const byEndpoint = Map.groupBy(
    declared.flatMap(({ id, inbound }) => endedBy(inbound).map((endpointId) => ({ endpointId, proxy: proxies.get(id)! }))),
    ({ endpointId }) => endpointId,
  );
  const dialling = Map.groupBy(
    declared.flatMap(({ id, serviceId, inbound, outbound }) =>
      dialledBy({ inbound, outbound }).map((endpointId) => ({ key: `${serviceId}/${endpointId}`, proxy: proxies.get(id)! })),
    ),
    ({ key }) => key,
  );
  const callersOf = paths.map(({ id, callerServiceId, endpointId }): [EntityId<'path'>, readonly ProxyDelivery[]] => [
    id,
    (dialling.get(`${callerServiceId}/${endpointId}`) ?? []).map(({ proxy }) => proxy),
  ]);
  return {
    proxies,
    callersOf: new Map(callersOf),
    receiversOf: new Map([...byEndpoint].map(([id, found]) => [id, found.map(({ proxy }) => proxy)])),
  };
}

/** Who only passes TLS through receives for nobody. */
function endedBy(inbound: readonly InboundRecord[]): readonly EntityId<'endpoint'>[] {
  return inbound.filter(({ termination }) => !isCarried(termination)).map(({ endpointId }) => endpointId);
}

function toDelivery(
  proxyId: EntityId<'proxy'>,
  name: string,
  settings: SettingsRecord | null,
  joined: JoinedProxy | null,
  settled: boolean,
): ProxyDelivery {
  const common = {
    proxyId,
    name,
    generation: settings?.generation ?? 0,
    connected: joined?.connected ?? false,
    lastSeenAt: joined?.lastSeenAt ?? null,
  };
  if (settings === null || !settled) return { ...common, delivery: { kind: 'pending' } };
  if (settings.acknowledgedGeneration === settings.generation) return { ...common, delivery: { kind: 'acknowledged' } };
  if (settings.refusedGeneration === settings.generation) {
    return { ...common, delivery: { kind: 'refused', detail: settings.refusal ?? '' } };
  }
  return { ...common, delivery: { kind: 'pending' } };
}
