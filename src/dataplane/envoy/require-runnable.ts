import { objectionsOf } from '../../core/envoy/objections.ts';
import { parseSpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

/** Settings with something in them that an Envoy cannot do are refused as a whole: nothing is left out quietly. @throws input-invalid */
export function requireRunnable(settings: ProxySettings): void {
  const objections = [...objectionsOf(settings), ...foreignersOf(settings)];
  if (objections.length > 0) throw new Problem('input-invalid', `Cannot run on Envoy: ${objections.join('; ').slice(0, MAXIMUM_TEXT)}`);
}

/** The control plane gives Envoy the bundle of its own trust domain alone. */
function foreignersOf({ trustDomain, inbound, outbound }: ProxySettings): readonly string[] {
  const named = [
    ...inbound.flatMap(({ endpointName, callers }) => callers.map(({ spiffeId }) => [endpointName, spiffeId] as const)),
    ...outbound.filter(({ serverSpiffeId }) => serverSpiffeId !== '').map((port) => [port.endpointName, port.serverSpiffeId] as const),
  ];
  const foreign = named.filter(([, spiffeId]) => trustDomainOf(parseSpiffeId(spiffeId)) !== trustDomain);
  return foreign.map(([endpointName, spiffeId]) => `${endpointName}: ${spiffeId} is of another trust domain`);
}

/** Of a reason that is shown whole. */
const MAXIMUM_TEXT = 800;
