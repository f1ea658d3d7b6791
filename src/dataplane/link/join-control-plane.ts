import { create } from '@bufbuild/protobuf';
import { EnrollmentService, JoinRequestSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { encodeJoinToken, type JoinToken } from '../../core/identity/join-token.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { isEntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { acceptChain } from './accept-chain.ts';
import { judgeControlPlane } from './judge-control-plane.ts';
import { openRpcConnection } from './rpc-connection.ts';
import { DATA_PLANE_VERSION } from './data-plane-version.ts';

/** A token of another issuer in a join token's place, with the root and the name that the control plane must prove before it is shown. */
export type MachinePass = { readonly jwt: Secret } & Pick<JoinToken, 'rootSpkiSha256' | 'controlPlane'>;

export type JoinOptions = {
  readonly state: StateDirectory;
  readonly control: HostPort;
  readonly token: JoinToken | MachinePass;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
};

/**
 * Buys the first certificate with a join token, or one of another issuer, and keeps it in the state directory. The token leaves this machine only after the server
 * proved, by the root that the token pins and the exact SPIFFE ID that the token names, that it is the control plane.
 * The key is kept before it is used: after a crash, the same token and key can be offered again.
 * @throws control-plane-unreachable, control-plane-unverified, token-refused, issuance-refused
 */
export async function joinControlPlane({ state, control, token, clock, signal }: JoinOptions): Promise<StoredIdentity> {
  const privateKey = (await state.readJoiningKey()) ?? (await makePrivateKey());
  await state.writeJoiningKey(privateKey);
  const connection = await openRpcConnection({
    control,
    certificate: null,
    judge: (chain) =>
      judgeControlPlane(clock.now(), { kind: 'pin', rootSpkiSha256: token.rootSpkiSha256, controlPlane: token.controlPlane }, chain),
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    // The identity is in the token's record, so the request needs no name; the control plane puts it in.
    const csr = buildCertificateRequest({ uris: [], dnsNames: [], ipAddresses: [] }, privateKey);
    const request = create(JoinRequestSchema, {
      token: ('jwt' in token ? token.jwt : encodeJoinToken(token)).reveal(),
      csr,
      version: DATA_PLANE_VERSION,
    });
    const answer = await connection.call(EnrollmentService.method.join, request);
    if (!isEntityId('proxy', answer.proxyId)) throw new Problem('control-plane-unverified', 'Cannot use answer to join: it names no proxy');
    const spiffeId = parseSpiffeId(answer.spiffeId);
    acceptChain(clock.now(), {
      chain: answer.chain,
      roots: answer.roots,
      spiffeId,
      privateKey,
      pinnedRootSpkiSha256: token.rootSpkiSha256,
    });
    const identity: StoredIdentity = {
      proxyId: answer.proxyId,
      spiffeId,
      controlPlane: token.controlPlane,
      privateKey,
      chain: answer.chain,
      roots: answer.roots,
      renewalEpoch: null,
    };
    await state.writeIdentity(identity);
    await state.dropJoiningKey();
    return identity;
  } finally {
    connection.destroy();
  }
}
