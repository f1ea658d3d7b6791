import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import { dialledBy, isCarried } from '../inventory/record.ts';
import { findDeclaredProxies } from '../inventory/store.ts';

/** The endpoints that a proxy receives for and calls: all that it may speak of. */
export type ProxyScope = {
  readonly environment: string;
  readonly region: string;
  readonly serves: ReadonlySet<EntityId<'endpoint'>>;
  /** It passes their TLS through, so it knows of a connection only that it was there. */
  readonly carries: ReadonlySet<EntityId<'endpoint'>>;
  readonly calls: ReadonlySet<EntityId<'endpoint'>>;
};

/** The scopes of these proxies; one that is not declared has none. */
export async function readProxyScopes(
  queries: Queries,
  proxyIds: readonly EntityId<'proxy'>[],
): Promise<ReadonlyMap<EntityId<'proxy'>, ProxyScope>> {
  const declared = await findDeclaredProxies(queries, proxyIds);
  return new Map(
    declared.map(({ id, environment, region, inbound, outbound }) => [
      id,
      {
        environment,
        region,
        serves: new Set(inbound.filter(({ termination }) => !isCarried(termination)).map(({ endpointId }) => endpointId)),
        carries: new Set(inbound.filter(({ termination }) => isCarried(termination)).map(({ endpointId }) => endpointId)),
        calls: new Set(dialledBy({ inbound, outbound })),
      },
    ]),
  );
}
