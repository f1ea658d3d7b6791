import { Plane, type ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

/** Settings say what carries the traffic: what is written for one kind is not run by the other. @throws input-invalid */
export function requirePlane({ plane }: ProxySettings, own: 'native' | 'envoy'): void {
  const wanted = plane === Plane.UNSPECIFIED ? 'native' : plane === Plane.ENVOY ? 'envoy' : `plane ${plane}`;
  if (wanted === own) return;
  const run =
    own === 'native' ? 'this is a native proxy, of an Envoy the companion is run (--envoy-sds)' : 'this is the companion of an Envoy';
  throw new Problem('input-invalid', `Cannot use settings: they are for ${wanted}, and ${run}`);
}
