import { mistrustingCaller, type ServiceName } from './fleet.ts';

/** What carries the traffic of the fleet: native proxies, Envoys, or both kinds in one fleet. */
export const planes = ['native', 'envoy', 'mixed'] as const;
export type Plane = (typeof planes)[number];

/** What carries the traffic of one replica. */
export type ProxyKind = 'native' | 'envoy';

/**
 * In the mixed fleet the second replica of a service and some that have one only are Envoys, so that both kinds stand on either end of paths
 * and among the replicas of an endpoint. Who has trust anchors of its own for servers stays native: an Envoy takes those of the fleet.
 */
export function proxyKindOf(plane: Plane, service: ServiceName, number: number): ProxyKind {
  if (plane === 'native' || service === mistrustingCaller) return 'native';
  return plane === 'envoy' || number === 2 || alone.has(service) ? 'envoy' : 'native';
}

const alone: ReadonlySet<ServiceName> = new Set(['reports', 'legacy']);
