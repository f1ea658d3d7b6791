import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { disconnectAll, updateConnected } from './joined-proxy-store.ts';

/** Says whether the proxy has a stream to us. */
export async function setConnected(
  deps: { readonly database: AuditedDatabase },
  proxyId: EntityId<'proxy'>,
  connected: boolean,
  now: Instant,
): Promise<void> {
  await deps.database.commit(async (unit) => updateConnected(unit.queries, proxyId, connected, now));
}

/** For the start of a server: whoever was connected is not any more. */
export async function forgetConnections(deps: { readonly database: AuditedDatabase }): Promise<void> {
  await deps.database.commit(async (unit) => disconnectAll(unit.queries));
}
