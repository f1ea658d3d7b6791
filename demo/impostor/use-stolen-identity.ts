import { makeSigningRequest } from '../certificate.ts';
import { callGrpc, encodeField, type GrpcAnswer } from './grpc-call.ts';
import type { StolenIdentity } from './steal-identity.ts';

/** What somebody tries at the control plane with a stolen identity, each answered or refused. */
export type StolenIdentityUse = { readonly renewal: GrpcAnswer; readonly join: GrpcAnswer; readonly stream: GrpcAnswer };

/** Asks for a new certificate, for the first one by a join token, and for the settings stream. */
export async function useStolenIdentity(
  address: string,
  spiffeId: string,
  stolen: StolenIdentity,
  joinToken: string,
): Promise<StolenIdentityUse> {
  return {
    renewal: await callGrpc(address, 'countersign.v1.EnrollmentService/Renew', encodeField(1, makeSigningRequest([spiffeId]).der), stolen),
    join: await callGrpc(
      address,
      'countersign.v1.EnrollmentService/Join',
      Buffer.concat([encodeField(1, joinToken), encodeField(2, makeSigningRequest([]).der)]),
      null,
    ),
    stream: await callGrpc(
      address,
      'envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      Buffer.concat([encodeField(2, 'type.googleapis.com/countersign.v1.TrustBundle'), encodeField(3, '*')]),
      stolen,
      'stream',
    ),
  };
}

/** True if a message came back. */
export function isServed(answer: GrpcAnswer): boolean {
  return answer.messages.length > 0;
}
