import { checkJoinToken, claimJoinToken } from '../../control/access/claim-join-token.ts';
import { isJwt } from '../../control/access/verify-machine-token.ts';
import { parseJoinToken } from '../../core/identity/join-token.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Instant } from '../../core/time/instant.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { Joiner, JoinerDeps } from './joiner.ts';
import { machineJoiner } from './machine-joiner.ts';

/** By a join token of ours, or by a token of a declared issuer; what its bearer asks for is read once the token is good. @throws token-refused, csr-malformed */
export async function findJoiner(
  deps: JoinerDeps,
  { token, csr }: { readonly token: string; readonly csr: Uint8Array },
  now: Instant,
): Promise<Joiner> {
  if (isJwt(token)) return machineJoiner(deps, { token, csr }, now);
  const { tokenId, secret } = parseJoinToken(token);
  const open = await checkJoinToken(deps.queries, { tokenId, secret }, now);
  const claim = { tokenId, secret, csrSpkiSha256: parseCertificateRequest(csr).spkiSha256 };
  const { tokenId: _token, ...proxy } = open.grantTo(claim.csrSpkiSha256);
  return {
    proxy,
    asker: dataPlaneAsker(proxy.spiffeId, proxy.environment, proxy.role === 'scanner' ? 'scanner' : 'data-plane'),
    claim: async (unit) => void (await claimJoinToken(unit, claim, now)),
    note: {},
  };
}
