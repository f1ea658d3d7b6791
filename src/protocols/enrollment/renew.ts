import { create } from '@bufbuild/protobuf';
import { EnrollmentService, RenewResponseSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { profileForJoin } from '../../core/issuance/profile.ts';
import { type UnaryMethod, unaryMethod } from '../data-plane/rpc-method.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { EnrollmentDeps } from './enrollment-deps.ts';
import { readRequestFor } from './read-request.ts';

/** A new certificate for the identity of the connection, past its end too where its profile gives a grace, whoever the request says it is. Both commits check that the old one still stands. */
export function renewMethod({ issue, clock }: Pick<EnrollmentDeps, 'issue' | 'clock'>): UnaryMethod {
  return unaryMethod(EnrollmentService.method.renew, 'holder', async (request, { node }) => {
    const { spiffeId, proxyId, environment, region, issuerKeySha256, serialHex } = node;
    const asker = node.isProbe ? 'scanner' : 'data-plane';
    const issued = await issue(
      {
        door: 'renewal',
        profile: profileForJoin(asker),
        ...dataPlaneAsker(spiffeId, environment, asker),
        csr: readRequestFor(spiffeId, request.csr),
        spiffeId,
        names: { dns: [], ip: [] },
        proxyId,
        environment,
        region,
        predecessor: { issuerKeySha256, serial: Buffer.from(serialHex, 'hex') },
        note: { renewalEpoch: request.renewalEpoch.toString() },
      },
      clock.now(),
    );
    return create(RenewResponseSchema, { chain: [...issued.chain] });
  });
}
