import type { Principal } from '../../control/access/principal.ts';
import type { Actor } from '../../control/audit/entry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS, type Instant } from '../../core/time/instant.ts';
import { created, empty, type Handlers, items } from './handler.ts';
import type { scepRoutes } from './scep-routes.ts';

/** What the SCEP slice does for these routes. */
export type ScepChallenges = {
  readonly create: (
    request: {
      readonly environment: string;
      readonly region: string;
      readonly profile: ProfileName;
      readonly spiffeId: string | null;
      readonly dnsNames: readonly string[];
      readonly ipAddresses: readonly string[];
      readonly ttlMs: number;
    },
    by: { readonly principal: Principal; readonly actor: Actor },
    now: Instant,
  ) => Promise<{ readonly id: EntityId<'token'>; readonly challenge: Secret; readonly expiresAt: Instant }>;
  readonly list: (now: Instant) => Promise<readonly OpenChallenge[]>;
  readonly find: (id: EntityId<'token'>) => Promise<OpenChallenge | null>;
  /** @throws state-conflict */
  readonly revoke: (challenge: OpenChallenge, actor: Actor, now: Instant) => Promise<void>;
};

type OpenChallenge = {
  readonly id: EntityId<'token'>;
  readonly environment: string;
  readonly region: string;
  readonly profile: ProfileName;
  readonly spiffeId: string | null;
  readonly names: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly maker: string;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
};

/** `challenges` is null where SCEP is not served. */
export function scepHandlers(deps: {
  readonly challenges: ScepChallenges | null;
  readonly place: { readonly region: string };
}): Pick<Handlers, keyof typeof scepRoutes> {
  const served = (): ScepChallenges => {
    if (deps.challenges === null) throw new Problem('state-conflict', 'Cannot use challenges: listen.scep is not configured, expected it');
    return deps.challenges;
  };
  return {
    'list-scep-challenges': async ({ scope, now }) => {
      const open = await served().list(now);
      return items(
        open
          .filter(({ environment }) => scope === '*' || scope.includes(environment))
          .map(({ id, environment, profile, spiffeId, names, maker, createdAt, expiresAt }) => ({
            id,
            environment,
            profile,
            spiffeId,
            dnsNames: names.dns,
            ipAddresses: names.ip,
            maker,
            createdAt,
            expiresAt,
          })),
      );
    },
    'create-scep-challenge': async ({ body, environment, principal, actor, now }) => {
      const { profile, spiffeId = null, dnsNames = [], ipAddresses = [], ttlMs = HOUR_MS } = body;
      const request = { environment, region: deps.place.region, profile, spiffeId, dnsNames, ipAddresses, ttlMs };
      const { id, challenge, expiresAt } = await served().create(request, { principal, actor }, now);
      return created({ id, challenge: challenge.reveal(), expiresAt });
    },
    'revoke-scep-challenge': async ({ params, demand, actor, now }) => {
      const challenge = await served().find(params.tokenId as EntityId<'token'>);
      if (challenge === null) throw new Problem('not-found', 'Cannot revoke challenge: there is none of this id');
      demand(challenge.environment);
      await served().revoke(challenge, actor, now);
      return empty;
    },
  };
}
