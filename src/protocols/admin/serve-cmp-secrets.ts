import { type Role, roleCovers } from '../../control/access/role.ts';
import type { Actor } from '../../control/audit/entry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import type { cmpRoutes } from './cmp-routes.ts';
import { created, empty, type Handlers, items } from './handler.ts';

/** What the CMP slice does for these routes. */
export type CmpSecrets = {
  readonly create: (
    request: {
      readonly name: string;
      readonly role: Role;
      readonly environment: string;
      readonly region: string;
      readonly profile: ProfileName;
      readonly spiffeId: string | null;
      readonly dnsNames: readonly string[];
      readonly ipAddresses: readonly string[];
      readonly uses: number;
      readonly ttlMs: number;
    },
    actor: Actor,
    now: Instant,
  ) => Promise<{ readonly reference: EntityId<'token'>; readonly secret: Secret; readonly expiresAt: Instant }>;
  readonly list: (now: Instant) => Promise<readonly OpenSecret[]>;
  readonly find: (id: EntityId<'token'>) => Promise<{ readonly environment: string } | null>;
  /** @throws state-conflict */
  readonly revoke: (id: EntityId<'token'>, actor: Actor, now: Instant) => Promise<void>;
};

type OpenSecret = {
  readonly id: EntityId<'token'>;
  readonly name: string;
  readonly role: Role;
  readonly environment: string;
  readonly profile: ProfileName;
  readonly spiffeId: string | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly uses: number;
  readonly used: number;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
};

/** `secrets` is null where CMP is not served. */
export function cmpHandlers(deps: {
  readonly secrets: CmpSecrets | null;
  readonly place: { readonly region: string };
}): Pick<Handlers, keyof typeof cmpRoutes> {
  const served = (): CmpSecrets => {
    if (deps.secrets === null) throw new Problem('state-conflict', 'Cannot make CMP secrets: listen.cmp is not configured, expected it');
    return deps.secrets;
  };
  return {
    'list-cmp-secrets': async ({ scope, now }) => {
      const open = await served().list(now);
      return items(open.filter(({ environment }) => scope === '*' || scope.includes(environment)).map(showSecret));
    },
    'create-cmp-secret': async ({ body, environment, principal, actor, now }) => {
      const {
        name,
        role = 'ci',
        profile = DEFAULT_PROFILE,
        spiffeId = null,
        dnsNames = [],
        ipAddresses = [],
        uses = 1,
        ttlMs = DAY_MS,
      } = body;
      // Nobody gives away more than he has.
      if (!roleCovers(principal.role, role))
        throw new Problem('forbidden', `Cannot make CMP secret: ${principal.role} does not cover ${role}`);
      const bounds = { profile, spiffeId, dnsNames, ipAddresses, uses, ttlMs };
      const { reference, secret, expiresAt } = await served().create(
        { name, role, environment, region: deps.place.region, ...bounds },
        actor,
        now,
      );
      return created({ reference, secret: secret.reveal(), expiresAt });
    },
    'revoke-cmp-secret': async ({ params, demand, actor, now }) => {
      const tokenId = params.tokenId as EntityId<'token'>;
      const secret = await served().find(tokenId);
      if (secret === null) throw new Problem('not-found', 'Cannot revoke CMP secret: there is none of this id');
      demand(secret.environment);
      await served().revoke(tokenId, actor, now);
      return empty;
    },
  };
}

function showSecret(secret: OpenSecret): unknown {
  const { id, name, role, environment, profile, spiffeId, dnsNames, ipAddresses, uses, used, createdAt, expiresAt } = secret;
  return { id, name, role, environment, profile, spiffeId, dnsNames, ipAddresses, uses, used, createdAt, expiresAt };
}

const DEFAULT_PROFILE = 'server' satisfies ProfileName;
