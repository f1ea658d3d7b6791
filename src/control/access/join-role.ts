import { isReservedSpiffeId, probeSpiffeId, type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';

/** What a data plane joins as: a proxy in one of its three places, a service in its own process, or the scanner that fires drills. */
export const joinRoles = ['gateway', 'sidecar', 'bridge', 'sdk', 'scanner'] as const;
export type JoinRole = (typeof joinRoles)[number];

/** True if this role may hold this identity: the scanner is the probe of its environment, and nobody else has a reserved name. */
export function roleMayHold(role: JoinRole, spiffeId: SpiffeId, environment: string): boolean {
  if (role !== 'scanner') return !isReservedSpiffeId(spiffeId);
  return spiffeId === probeSpiffeId(trustDomainOf(spiffeId), environment);
}
