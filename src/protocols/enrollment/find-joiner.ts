import { checkJoinToken, claimJoinToken } from '../../control/access/claim-join-token.ts';
import { isJwt } from '../../control/access/verify-machine-token.ts';
import { parseJoinToken } from '../../core/identity/join-token.ts';
import type { Instant } from '../../core/time/instant.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { Joiner, JoinerDeps } from './joiner.ts';
import { machineJoiner } from './machine-joiner.ts';

/** By a join token of ours, or by a token of a declared issuer. @throws token-refused */
export async function findJoiner(deps: JoinerDeps, token: string, csrSpkiSha256: string, now: Instant): Promise<Joiner> {
  if (isJwt(token)) return machineJoiner(deps, { token, csrSpkiSha256 }, now);
  const { tokenId, secret } = parseJoinToken(token);
  const claim = { tokenId, secret, csrSpkiSha256 };
  const { tokenId: _token, ...proxy } = await checkJoinToken(deps.queries, claim, now);
  return {
    proxy,
    asker: dataPlaneAsker(proxy.spiffeId, proxy.environment, proxy.role === 'scanner' ? 'scanner' : 'data-plane'),
    claim: async (unit) => void (await claimJoinToken(unit, claim, now)),
    note: {},
  };
}
