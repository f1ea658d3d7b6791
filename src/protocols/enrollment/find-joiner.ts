import { checkJoinToken, claimJoinToken } from '../../control/access/claim-join-token.ts';
import { isJwt } from '../../control/access/verify-machine-token.ts';
import { parseJoinToken } from '../../core/identity/join-token.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Instant } from '../../core/time/instant.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { Joiner, JoinerDeps } from './joiner.ts';
import { machineJoiner } from './machine-joiner.ts';

/** By a join token of ours, or by a token of a declared issuer. @throws token-refused, csr-malformed */
export async function findJoiner(
  deps: JoinerDeps,
  { token, csr }: { readonly token: string; readonly csr: Uint8Array },
  now: Instant,
): Promise<Joiner> {
  if (isJwt(token)) return machineJoiner(deps, { token, csrSpkiSha256: parseCertificateRequest(csr).spkiSha256 }, now);
  const { tokenId, secret } = parseJoinToken(token);
  const claim = { tokenId, secret, csrSpkiSha256: parseCertificateRequest(csr).spkiSha256 };
  const { tokenId: _token, ...proxy } = await checkJoinToken(deps.queries, claim, now);
  return {
    proxy,
    asker: dataPlaneAsker(proxy.spiffeId, proxy.environment, proxy.role === 'scanner' ? 'scanner' : 'data-plane'),
    claim: async (unit) => void (await claimJoinToken(unit, claim, now)),
    note: {},
  };
}
