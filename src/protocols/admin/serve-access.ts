import { exchangeBootstrapToken, holdsBootstrapToken } from '../../control/access/bootstrap-token.ts';
import { createJoinToken } from '../../control/access/create-join-token.ts';
import { createToken } from '../../control/access/create-token.ts';
import { revokeJoinToken } from '../../control/access/revoke-join-token.ts';
import { revokeToken } from '../../control/access/revoke-token.ts';
import { listIdentityProviders } from '../../control/access/machine-token-store.ts';
import { removeIdentityProvider, setIdentityProvider } from '../../control/access/set-identity-provider.ts';
import { findJoinToken, listOpenJoinTokens } from '../../control/access/join-token-store.ts';
import { listAccessTokens } from '../../control/access/store.ts';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { listSuspensions } from '../../control/ca/revocation-store.ts';
import { resumeIdentity, suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { findDeclaredProxy, findServiceBySpiffeId } from '../../control/inventory/store.ts';
import { controlPlaneSpiffeId, environmentOf, parseSpiffeId, type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { accessRoutes } from './access-routes.ts';
import { created, empty, type Handlers, items, json } from './handler.ts';
import { RateLimit } from './rate-limit.ts';

export type AccessDeps = {
  readonly database: AuditedDatabase;
  readonly place: { readonly trustDomain: TrustDomain; readonly environment: string; readonly region: string };
  /** SHA-256 of the root's SPKI (hex), which join tokens pin. */
  readonly rootSpkiSha256: () => string;
  /** Told when the revoked set changed. */
  readonly authorityChanged: Signal;
};

export function accessHandlers(deps: AccessDeps): Pick<Handlers, keyof typeof accessRoutes> {
  const { database, place, authorityChanged } = deps;
  const { queries } = database;
  const attempts = new RateLimit({ attempts: 10, windowMs: 60_000 });
  return {
    'exchange-bootstrap-token': async ({ body, now }) => {
      const bearer = new Secret(body.token.trim());
      // Only guesses are counted: strangers who use the attempts up must not shut out whoever holds the token.
      if (!(await holdsBootstrapToken(deps, bearer, now))) attempts.take(now);
      const token = await exchangeBootstrapToken(deps, { bearer, name: body.name }, now);
      return created({ token: token.reveal() });
    },
    'show-caller': async ({ principal: { tokenId, name, role, scope } }) => json({ tokenId, name, role, environments: scope }),
    'list-tokens': async ({ now }) => {
      const tokens = await listAccessTokens(queries, { endedAfter: now });
      return items(
        tokens
          .filter(({ kind }) => kind === 'named')
          .map(({ id, name, role, scope, createdAt, expiresAt }) => ({ id, name, role, environments: scope, createdAt, expiresAt })),
      );
    },
    'create-token': async ({ body, actor, now }) => {
      const { name, role, environments = '*', ttlMs = null } = body;
      const { environment, region } = place;
      const made = await createToken(deps, { name, role, scope: environments, environment, region, ttlMs }, actor, now);
      return created({ id: made.tokenId, token: made.token.reveal() });
    },
    'revoke-token': async ({ params, actor, now }) => {
      await revokeToken(deps, params.tokenId as EntityId<'token'>, actor, now);
      return empty;
    },
    'list-join-tokens': async ({ scope, now }) => {
      const open = await listOpenJoinTokens(queries, now);
      return items(
        open
          .filter(({ environment }) => scope === '*' || scope.includes(environment))
          .map(({ id, spiffeId, role, proxyId, proxyName, environment, region, createdAt, expiresAt }) => ({
            id,
            spiffeId,
            role,
            proxyId,
            proxyName,
            environment,
            region,
            createdAt,
            expiresAt,
          })),
      );
    },
    'create-join-token': async ({ body, environment, actor, now }) => {
      const proxy = await findDeclaredProxy(queries, environment, body.proxy);
      if (proxy === null) throw new Problem('not-found', `Cannot make join token: proxy ${body.proxy} is not declared in ${environment}`);
      const { id: proxyId, name: proxyName, spiffeId, role, region } = proxy;
      const token = await createJoinToken(
        deps,
        {
          spiffeId,
          role,
          proxyId,
          proxyName,
          environment,
          region,
          ttlMs: body.ttlMs ?? HOUR_MS,
          rootSpkiSha256: deps.rootSpkiSha256(),
          controlPlane: controlPlaneSpiffeId(place.trustDomain, place.environment),
        },
        actor,
        now,
      );
      return created({ proxyId, spiffeId, token: token.reveal() });
    },
    'revoke-join-token': async ({ params, demand, actor, now }) => {
      const tokenId = params.tokenId as EntityId<'token'>;
      const token = await findJoinToken(queries, tokenId);
      if (token === null) throw new Problem('not-found', 'Cannot revoke join token: there is none of this id');
      demand(token.environment);
      await revokeJoinToken(deps, tokenId, actor, now);
      return empty;
    },
    'list-identity-providers': async () => items(await listIdentityProviders(queries)),
    'set-identity-provider': async ({ body, environment, actor, now }) => {
      const request = { environment, region: place.region, name: body.name, spec: body.spec };
      return created(await setIdentityProvider(deps, request, actor, now));
    },
    'remove-identity-provider': async ({ params, actor, now }) => {
      await removeIdentityProvider(deps, params.providerId, actor, now);
      return empty;
    },
    'list-suspensions': async ({ scope }) => {
      const suspensions = await listSuspensions(queries);
      return items(suspensions.filter(({ environment }) => scope === '*' || scope.includes(environment)));
    },
    'suspend-identity': async ({ body, demand, actor, now }) => {
      const { spiffeId, environment } = await findIdentity(queries, body.spiffeId, place.trustDomain);
      demand(environment);
      const change = { spiffeId, environment, region: place.region, reason: body.reason ?? '' };
      return json({ spiffeId, ...(await suspendIdentity({ database, changed: authorityChanged }, change, actor, now)), at: now });
    },
    'resume-identity': async ({ body, demand, actor, now }) => {
      const { spiffeId, environment } = await findIdentity(queries, body.spiffeId, place.trustDomain);
      demand(environment);
      const change = { spiffeId, environment, region: place.region, reason: body.reason ?? '' };
      return json({ spiffeId, ...(await resumeIdentity({ database, changed: authorityChanged }, change, actor, now)), at: now });
    },
  };
}

/** One of ours, whether it is declared or not, or a declared one of another trust domain: whoever is not declared is let in nowhere. @throws input-invalid */
async function findIdentity(
  queries: Queries,
  text: string,
  own: TrustDomain,
): Promise<{ readonly spiffeId: SpiffeId; readonly environment: string }> {
  const spiffeId = parseSpiffeId(text);
  if (trustDomainOf(spiffeId) === own) return { spiffeId, environment: environmentOf(spiffeId) };
  const service = await findServiceBySpiffeId(queries, spiffeId);
  if (service !== null) return { spiffeId, environment: service.environment };
  throw new Problem(
    'input-invalid',
    `Cannot change identity: ${spiffeId} is neither of trust domain ${own} nor a declared service of another one`,
  );
}
