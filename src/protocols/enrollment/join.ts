import { create } from '@bufbuild/protobuf';
import { checkJoinToken, claimJoinToken } from '../../control/access/claim-join-token.ts';
import { registerProxy } from '../../control/fleet/register-proxy.ts';
import { parseJoinToken } from '../../core/identity/join-token.ts';
import {
  type DataPlaneVersion,
  EnrollmentService,
  JoinResponseSchema,
} from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { profileForJoin } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { type UnaryMethod, unaryMethod } from '../data-plane/rpc-method.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { EnrollmentDeps } from './enrollment-deps.ts';
import { readRequestFor } from './read-request.ts';

/**
 * A join token buys the first certificate: the only method without a client certificate. The token is claimed in the commit that
 * reserves the serial, so a token is never used up for nothing and never used twice; the key that claimed it may ask again.
 */
export function joinMethod({ issue, queries, roots, clock }: EnrollmentDeps): UnaryMethod {
  return unaryMethod(EnrollmentService.method.join, 'anyone', async (request) => {
    const now = clock.now();
    const { tokenId, secret } = parseJoinToken(request.token);
    const claim = { tokenId, secret, csrSpkiSha256: parseCertificateRequest(request.csr).spkiSha256 };
    const grant = await checkJoinToken(queries, claim, now);
    const { proxyId, spiffeId, role, environment, region } = grant;
    const asker = role === 'scanner' ? 'scanner' : 'data-plane';
    const note = versionNote(request.version);
    const issued = await issue(
      {
        door: 'join',
        profile: profileForJoin(asker),
        ...dataPlaneAsker(spiffeId, environment, asker),
        csr: readRequestFor(spiffeId, request.csr),
        spiffeId,
        names: { dns: [], ip: [] },
        proxyId,
        environment,
        region,
        claim: async (unit) => {
          const { tokenId: _token, ...joiner } = await claimJoinToken(unit, claim, now);
          await registerProxy(unit, { ...joiner, ...note }, now);
        },
        note,
      },
      now,
    );
    return create(JoinResponseSchema, { proxyId, spiffeId, chain: [...issued.chain], roots: [...roots()] });
  });
}

/** What the program says about itself, for the log; bounded, and nothing is decided by it. */
function versionNote(version: DataPlaneVersion | undefined): { readonly version: string; readonly capabilities: readonly string[] } {
  const capabilities = version?.capabilities ?? [];
  const longest = Math.max(version?.version.length ?? 0, ...capabilities.map(({ length }) => length));
  if (capabilities.length > MAXIMUM_CAPABILITIES || longest > MAXIMUM_WORD) {
    throw new Problem(
      'input-invalid',
      `Cannot join: ${capabilities.length} capabilities of up to ${longest} characters, expected at most ${MAXIMUM_CAPABILITIES} of ${MAXIMUM_WORD}`,
    );
  }
  return { version: version?.version ?? '', capabilities };
}

const MAXIMUM_CAPABILITIES = 64;
const MAXIMUM_WORD = 64;
