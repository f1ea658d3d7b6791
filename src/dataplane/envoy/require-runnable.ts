import { objectionsOf } from '../../core/envoy/objections.ts';
import type { ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

/** Settings with something in them that an Envoy cannot do are refused as a whole: nothing is left out quietly. @throws input-invalid */
export function requireRunnable(settings: ProxySettings): void {
  const objections = objectionsOf(settings);
  if (objections.length > 0) throw new Problem('input-invalid', `Cannot run on Envoy: ${objections.join('; ').slice(0, MAXIMUM_TEXT)}`);
}

/** Of a reason that is shown whole. */
const MAXIMUM_TEXT = 800;
