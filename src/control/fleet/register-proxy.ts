import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import type { ProxyRole } from '../inventory/record.ts';
import { upsertJoinedProxy } from './joined-proxy-store.ts';

/** Who joins, as its token says, and what it says about itself (bounded by the protocol; nothing is decided by it). */
export type Joiner = {
  readonly proxyId: EntityId<'proxy'>;
  readonly proxyName: string;
  readonly spiffeId: SpiffeId;
  readonly role: ProxyRole;
  readonly environment: string;
  readonly region: string;
  readonly version: string;
  readonly capabilities: readonly string[];
};

/** Makes the proxy known, in the commit that claims its token and under that entry. One that joins again keeps its id: the token carries it. */
export async function registerProxy(unit: AuditedUnit, joiner: Joiner, now: Instant): Promise<void> {
  const { proxyId, proxyName, ...rest } = joiner;
  await upsertJoinedProxy(unit.queries, { ...rest, id: proxyId, name: proxyName, joinedAt: now, lastSeenAt: now, connected: false });
}
