import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { disconnectAll, updateConnected } from './joined-proxy-store.ts';

/** Says of each of these proxies whether it has a stream to us; one commit for all, as thousands may come at once. */
export async function setConnected(
  deps: { readonly database: AuditedDatabase },
  connected: ReadonlyMap<EntityId<'proxy'>, boolean>,
  now: Instant,
): Promise<void> {
  await deps.database.commit(async (unit) => {
    for (const [proxyId, isConnected] of connected) await updateConnected(unit.queries, proxyId, isConnected, now);
  });
}

/** For the start of a server: whoever was connected is not any more. */
export async function forgetConnections(deps: { readonly database: AuditedDatabase }): Promise<void> {
  await deps.database.commit(async (unit) => disconnectAll(unit.queries));
}
