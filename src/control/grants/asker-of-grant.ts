import type { Asker } from '../../core/issuance/issuance-order.ts';
import { boundsOf, type DoorGrant } from './door-grant.ts';

/** Who asks by a grant, under which name: in the role of the grant, and for what it is bound to alone. */
export function askerOfGrant(grant: DoorGrant, name: string): Asker {
  const { id, door, role, environment } = grant;
  const { profile, spiffeId, names, maxLifetimeMs } = boundsOf(grant);
  const asker = { role, scope: [environment], spiffeId: null, name } as const;
  if (maxLifetimeMs === null) return asker;
  const bounds = { environment, doors: [door], profiles: [profile], spiffeId, dnsNames: names.dns, ipAddresses: names.ip, maxLifetimeMs };
  return { ...asker, grant: { source: `${door}/${id}`, ...bounds, spent: true } };
}
