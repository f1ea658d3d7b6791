import type { Principal, Scope } from '../../control/access/principal.ts';
import { isJwt } from '../../control/access/verify-machine-token.ts';
import { roleCovers } from '../../control/access/role.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Route } from './route.ts';

/** The token of an Authorization header (RFC 6750 section 2.1); null if there is none. */
export function bearerOf(header: string | undefined): Secret | null {
  const match = /^Bearer ([A-Za-z0-9._~+/-]{1,256}=*)$/i.exec(header ?? '');
  return match === null ? null : new Secret(match[1]!);
}

/** A token of another issuer in an Authorization header; null if there is none. */
export function jwtOf(header: string | undefined): string | null {
  const text = /^Bearer ([A-Za-z0-9._-]+)$/i.exec(header ?? '')?.[1] ?? '';
  return isJwt(text) ? text : null;
}

/** What can be said before the body is read. @throws forbidden */
export function checkRole(route: Route, principal: Principal): void {
  if (route.role !== undefined && !roleCovers(principal.role, route.role)) {
    throw new Problem('forbidden', `Cannot do this: the token's role is ${principal.role}, expected one that covers ${route.role}`);
  }
  if (route.scope === 'everywhere' && principal.scope !== '*') {
    throw new Problem('forbidden', 'Cannot do this: the token covers some environments, expected all');
  }
}

/** @throws forbidden */
export function checkEnvironment({ scope }: Principal, environment: string): void {
  if (scope !== '*' && !scope.includes(environment)) {
    throw new Problem('forbidden', `Cannot do this: the token does not cover environment ${JSON.stringify(environment)}`);
  }
}

/** The environments that an answer may be about. @throws forbidden for one that is named and not covered */
export function narrowScope(principal: Principal, named: string | undefined): Scope {
  if (named === undefined) return principal.scope;
  checkEnvironment(principal, named);
  return [named];
}
