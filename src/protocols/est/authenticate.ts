import { authenticate } from '../../control/access/authenticate.ts';
import { machinePrincipal, type Principal } from '../../control/access/principal.ts';
import { roleCovers } from '../../control/access/role.ts';
import { isJwt } from '../../control/access/verify-machine-token.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { EstDeps } from './deps.ts';

/**
 * Who asks by HTTP Basic (RFC 7617): the password is an access token of ours, or the token of a trusted issuer. It says itself whose it is, so the user name
 * counts for nothing. @throws unauthenticated, token-refused; forbidden for a role that asks for no certificates
 */
export async function authenticateBasic(
  { database, machineTokens }: Pick<EstDeps, 'database' | 'machineTokens'>,
  authorization: string | undefined,
  now: Instant,
): Promise<Principal> {
  const password = passwordOf(authorization);
  const principal = await principalOf({ database, machineTokens }, password, now);
  if (principal === null)
    throw new Problem(
      'unauthenticated',
      'Cannot enrol: expected a live token as the password of HTTP Basic, or a client certificate of ours',
    );
  if (!roleCovers(principal.role, 'ci'))
    throw new Problem('forbidden', `Cannot enrol: the token's role is ${principal.role}, expected one that covers ci`);
  return principal;
}

async function principalOf(
  { database, machineTokens }: Pick<EstDeps, 'database' | 'machineTokens'>,
  password: Secret | null,
  now: Instant,
): Promise<Principal | null> {
  if (password === null) return null;
  if (isJwt(password.reveal())) return machinePrincipal(await machineTokens.authenticate(password.reveal(), now));
  return authenticate({ database }, password, now);
}

/** Null: there is no such header, or it is none of Basic. */
function passwordOf(authorization = ''): Secret | null {
  const encoded = /^Basic ([A-Za-z0-9+/]{1,12000}={0,2})$/i.exec(authorization)?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? null : new Secret(text.slice(colon + 1));
}
