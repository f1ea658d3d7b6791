import { parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import type { ProblemCode } from '../../core/problems/codes.ts';
import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { findLiveToken } from '../access/live-token.ts';
import type { Principal } from '../access/principal.ts';
import { type Role, roleCovers } from '../access/role.ts';
import type { Actor, AuditedDatabase, DataValue } from '../audit/entry.ts';
import { Person } from '../audit/person.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { askerRoleOf } from '../ca/asker-of.ts';
import type { Authorities } from '../ca/authorities.ts';
import { findProfile } from '../ca/prepare-certificate.ts';
import { boundsOf, type DoorGrant, type GrantBounds, type GrantDoor, grantDoors } from './door-grant.ts';
import { insertGrant } from './store.ts';

/** What a grant shall be good for. */
export type GrantRequest = {
  readonly door: GrantDoor;
  readonly environment: string;
  readonly region: string;
  /** Whom it is for; null: nobody says. */
  readonly name: string | null;
  /** In which it asks; `own`: in that of who makes it, under their name. */
  readonly role: Role | 'own';
  /** Null: whatever the role may have. */
  readonly bounds: WantedBounds | null;
  readonly uses: number;
  readonly ttlMs: number;
  /** By which it will be found; absent: by its id. */
  readonly secretSha256?: Uint8Array;
};

/** Names as they were typed. */
export type WantedBounds = {
  readonly profile: ProfileName;
  readonly spiffeId: string | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
};

/** Who makes one, and how that stands in the log. */
export type Maker = { readonly principal: Principal; readonly actor: Actor };

/**
 * Makes a grant. Nobody gives away more than he has, nor for longer than his own token lasts, and it falls with that token.
 * @throws input-invalid, identity-malformed; forbidden to a machine, for a role that the maker's does not cover, and where the profile is not for the maker
 */
export async function makeGrant(
  { database, authorities }: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: GrantRequest,
  maker: Maker,
  now: Instant,
): Promise<DoorGrant> {
  const { door, environment, region, name, uses, ttlMs } = request;
  if (!(ttlMs > 0 && ttlMs <= MAXIMUM_TTL_MS))
    throw refusal(door, 'input-invalid', `a life of ${ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  const { tokenId, name: makerName } = maker.principal;
  if (tokenId === null) throw refusal(door, 'forbidden', 'by the token of another issuer, expected one of ours');
  const role = roleOf(request, maker.principal);
  const bounds = request.bounds === null ? null : readBounds(authorities, { request, wanted: request.bounds, role, makerName });
  const id = newEntityId('token', now);
  return database.commit(async (unit) => {
    const token = await findLiveToken(unit.queries, tokenId, now);
    if (token === null) throw refusal(door, 'forbidden', 'by a token that has ended, expected a live one');
    const grant: DoorGrant = {
      id,
      door,
      environment,
      region,
      name,
      role,
      bounds,
      uses,
      used: 0,
      maker: { name: makerName, kind: maker.actor.kind === 'person' ? 'person' : 'machine', tokenId },
      createdAt: now,
      expiresAt: Math.min(now + ttlMs, token.expiresAt ?? Infinity),
      revokedAt: null,
      lastUse: null,
    };
    await insertGrant(unit.queries, grant, request.secretSha256 ?? null);
    const data = { tokenId: id, ...factsOf[door](grant), expiresAt: grant.expiresAt };
    recordEntry(unit, { type: `${grantDoors[door].entry}.created`, at: now, environment, region, actor: maker.actor, data });
    return grant;
  });
}

/** @throws forbidden */
function roleOf({ door, role }: GrantRequest, principal: Principal): Role {
  if (role === 'own') return askerRoleOf(principal.role);
  if (!roleCovers(principal.role, role)) throw refusal(door, 'forbidden', `${principal.role} does not cover ${role}`);
  return role;
}

/** What would be refused at every request is told when the grant is made, to who can do something about it. */
function readBounds(
  authorities: Authorities,
  {
    request,
    wanted,
    role,
    makerName,
  }: { readonly request: GrantRequest; readonly wanted: WantedBounds; readonly role: Role; readonly makerName: string },
): GrantBounds {
  const { door, environment } = request;
  const spiffeId = wanted.spiffeId === null ? null : parseSpiffeId(wanted.spiffeId);
  const names = {
    dns: [...new Set(wanted.dnsNames.map((dns) => parseDnsPattern(dns)))],
    ip: [...new Set(wanted.ipAddresses.map((ip) => parseIpAddress(ip)))],
  };
  if (spiffeId === null && names.dns.length + names.ip.length === 0)
    throw refusal(door, 'input-invalid', 'it is for no name, expected one at least');
  const profile = demandDoor(findProfile(authorities, environment, wanted.profile), { request, wanted, role, makerName });
  return { profile: wanted.profile, spiffeId, names, maxLifetimeMs: profile.lifetimeMs.max };
}

function demandDoor(
  found: Profile | null,
  {
    request: { door, role: asked },
    wanted: { profile },
    role,
    makerName,
  }: { readonly request: GrantRequest; readonly wanted: WantedBounds; readonly role: Role; readonly makerName: string },
): Profile {
  const askers = found?.askers[door];
  if (found === null || askers === undefined)
    throw refusal(door, 'input-invalid', `no profile ${profile} that opens the door ${door}, expected one`);
  if (asked !== 'own') {
    if (!askers.includes(role)) throw refusal(door, 'input-invalid', `profile ${profile} is not issued to ${role} by the door ${door}`);
  } else if (!askers.includes(role) || found.identities?.[door]?.has(makerName) === false) {
    throw refusal(door, 'forbidden', `profile ${profile} does not let ${makerName} (${role}) ask by the door ${door}`);
  }
  return found;
}

function refusal(door: GrantDoor, code: ProblemCode, what: string): Problem {
  return new Problem(code, `Cannot make ${grantDoors[door].noun}: ${what}`);
}

/** What the entries of each door say since there were any; who made it is their actor. */
const factsOf: { readonly [Door in GrantDoor]: (grant: DoorGrant) => { readonly [name: string]: DataValue } } = {
  acme: ({ name, role }) => ({ name: personOf(name), role }),
  cmp: (grant) => {
    const { name, role, uses } = grant;
    const { profile, spiffeId, names } = boundsOf(grant);
    return { name: personOf(name), role, profile, spiffeId, dnsNames: names.dns, ipAddresses: names.ip, uses };
  },
  scep: (grant) => {
    const { profile, spiffeId, names } = boundsOf(grant);
    return { profile, spiffeId, names };
  },
};

function personOf(name: string | null): Person | null {
  return name === null ? null : new Person(name);
}

const MAXIMUM_TTL_MS = 90 * DAY_MS;
