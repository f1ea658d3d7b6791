import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { type DoorGrant, type GrantDoor, grantDoors } from '../../control/grants/door-grant.ts';
import type { GrantRequest, Maker, WantedBounds } from '../../control/grants/make-grant.ts';
import { revokeGrant } from '../../control/grants/revoke-grant.ts';
import { findGrant, listOpenGrants } from '../../control/grants/store.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, HOUR_MS, type Instant } from '../../core/time/instant.ts';
import type { grantRoutes } from './grant-routes.ts';
import { type Answer, type Asked, type Call, created, empty, type Handlers, items } from './handler.ts';

type Make<Wanted> = (request: Wanted, maker: Maker, now: Instant) => Promise<{ readonly grant: DoorGrant; readonly secret: Secret }>;
type Place = Pick<GrantRequest, 'environment' | 'region' | 'ttlMs'>;
type Named = { readonly name: string; readonly role: Exclude<GrantRequest['role'], 'own'> };

/** What makes a grant with what its protocol shows of it; null: that door is not served. */
export type GrantMakers = {
  readonly acme: Make<Place & Named> | null;
  readonly cmp: Make<Place & Named & { readonly bounds: WantedBounds; readonly uses: number }> | null;
  readonly scep: Make<Place & { readonly bounds: WantedBounds }> | null;
};

/** Where a door is not served, there is nothing to make, to see or to take back. */
export function grantHandlers(deps: {
  readonly database: AuditedDatabase;
  readonly makers: GrantMakers;
  readonly place: { readonly region: string };
}): Pick<Handlers, keyof typeof grantRoutes> {
  const { database, makers } = deps;
  const { region } = deps.place;
  const serve = <Door extends GrantDoor>(door: Door): NonNullable<GrantMakers[Door]> => {
    const make = makers[door];
    if (make === null)
      throw new Problem('state-conflict', `Cannot use ${grantDoors[door].noun}s: listen.${door} is not configured, expected it`);
    return make;
  };
  const list =
    (door: GrantDoor) =>
    async ({ scope, now }: Pick<Asked, 'scope'> & { readonly now: Instant }): Promise<Answer> => {
      serve(door);
      return items((await listOpenGrants(database.queries, { door, environments: scope }, now)).map(showGrant));
    };
  const revoke =
    (door: GrantDoor) =>
    async ({ params, demand, actor, now }: Call<'revoke-acme-binding'>): Promise<Answer> => {
      serve(door);
      const grant = await findGrant(database.queries, door, params.tokenId);
      if (grant === null) throw new Problem('not-found', `Cannot revoke ${grantDoors[door].noun}: there is none of this id`);
      demand(grant.environment);
      await revokeGrant({ database }, grant, actor, now);
      return empty;
    };
  return {
    'list-acme-bindings': list('acme'),
    'revoke-acme-binding': revoke('acme'),
    'create-acme-binding': async ({ body, environment, now, ...maker }) => {
      const { name, role, ttlMs = DAY_MS } = body;
      const { grant, secret } = await serve('acme')({ name, role, environment, region, ttlMs }, maker, now);
      return created({ keyId: grant.id, macKey: secret.reveal(), expiresAt: grant.expiresAt });
    },
    'list-cmp-secrets': list('cmp'),
    'revoke-cmp-secret': revoke('cmp'),
    'create-cmp-secret': async ({ body, environment, now, ...maker }) => {
      const { name, role = 'ci', profile = DEFAULT_PROFILE, uses = 1, ttlMs = DAY_MS } = body;
      const wanted = { name, role, environment, region, bounds: wantedBounds({ ...body, profile }), uses, ttlMs };
      const { grant, secret } = await serve('cmp')(wanted, maker, now);
      return created({ reference: grant.id, secret: secret.reveal(), expiresAt: grant.expiresAt });
    },
    'list-scep-challenges': list('scep'),
    'revoke-scep-challenge': revoke('scep'),
    'create-scep-challenge': async ({ body, environment, now, ...maker }) => {
      const { ttlMs = HOUR_MS } = body;
      const { grant, secret } = await serve('scep')({ environment, region, bounds: wantedBounds(body), ttlMs }, maker, now);
      return created({ id: grant.id, challenge: secret.reveal(), expiresAt: grant.expiresAt });
    },
  };
}

function wantedBounds({
  profile,
  spiffeId = null,
  dnsNames = [],
  ipAddresses = [],
}: {
  readonly profile: ProfileName;
  readonly spiffeId?: string | null;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}): WantedBounds {
  return { profile, spiffeId, dnsNames, ipAddresses };
}

/** One shape for every door. */
function showGrant({ id, name, role, environment, bounds, uses, used, maker, createdAt, expiresAt }: DoorGrant): unknown {
  const { profile, spiffeId, names } = bounds ?? { profile: null, spiffeId: null, names: { dns: [], ip: [] } };
  const made = { maker: maker?.name ?? null, createdAt, expiresAt };
  return { id, name, role, environment, profile, spiffeId, dnsNames: names.dns, ipAddresses: names.ip, uses, used, ...made };
}

const DEFAULT_PROFILE = 'server' satisfies ProfileName;
