import type { Actor } from '../../control/audit/entry.ts';
import { type Role, roleCovers } from '../../control/access/role.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { acmeRoutes } from './acme-routes.ts';
import { created, empty, type Handlers, items } from './handler.ts';

/** What the ACME slice does for these routes. */
export type AcmeBindings = {
  readonly create: (
    request: { readonly name: string; readonly role: Role; readonly environment: string; readonly region: string; readonly ttlMs: number },
    actor: Actor,
    now: Instant,
  ) => Promise<{ readonly keyId: EntityId<'token'>; readonly macKey: Secret; readonly expiresAt: Instant }>;
  readonly list: (now: Instant) => Promise<readonly OpenBinding[]>;
  readonly find: (id: EntityId<'token'>) => Promise<{ readonly environment: string } | null>;
  /** @throws state-conflict */
  readonly revoke: (id: EntityId<'token'>, actor: Actor, now: Instant) => Promise<void>;
};

type OpenBinding = {
  readonly id: EntityId<'token'>;
  readonly name: string;
  readonly role: Role;
  readonly environment: string;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
};

/** `bindings` is null where ACME is not served. */
export function acmeHandlers(deps: {
  readonly bindings: AcmeBindings | null;
  readonly place: { readonly region: string };
}): Pick<Handlers, keyof typeof acmeRoutes> {
  const served = (): AcmeBindings => {
    if (deps.bindings === null)
      throw new Problem('state-conflict', 'Cannot bind ACME accounts: listen.acme is not configured, expected it');
    return deps.bindings;
  };
  return {
    'list-acme-bindings': async ({ scope, now }) => {
      const open = await served().list(now);
      return items(
        open
          .filter(({ environment }) => scope === '*' || scope.includes(environment))
          .map(({ id, name, role, environment, createdAt, expiresAt }) => ({ id, name, role, environment, createdAt, expiresAt })),
      );
    },
    'create-acme-binding': async ({ body, environment, principal, actor, now }) => {
      // Nobody gives away more than he has.
      if (!roleCovers(principal.role, body.role)) {
        throw new Problem('forbidden', `Cannot make binding token: ${principal.role} does not cover ${body.role}`);
      }
      const { name, role, ttlMs = DAY_MS } = body;
      const { keyId, macKey, expiresAt } = await served().create({ name, role, environment, region: deps.place.region, ttlMs }, actor, now);
      return created({ keyId, macKey: macKey.reveal(), expiresAt });
    },
    'revoke-acme-binding': async ({ params, demand, actor, now }) => {
      const tokenId = params.tokenId as EntityId<'token'>;
      const token = await served().find(tokenId);
      if (token === null) throw new Problem('not-found', 'Cannot revoke binding token: there is none of this id');
      demand(token.environment);
      await served().revoke(tokenId, actor, now);
      return empty;
    },
  };
}
