import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';

/** A data plane as the one who asks: for itself, in its own environment only. */
export function dataPlaneAsker(
  spiffeId: SpiffeId,
  environment: string,
  role: 'data-plane' | 'scanner',
): Pick<IssuanceRequest, 'asker' | 'actor'> {
  return { asker: { role, scope: [environment], spiffeId }, actor: { kind: 'machine', name: spiffeId } };
}
