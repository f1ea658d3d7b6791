import { createHmac } from 'node:crypto';
import type { Role } from '../../control/access/role.ts';
import type { Actor, AuditedDatabase } from '../../control/audit/entry.ts';
import { Person } from '../../control/audit/person.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Grant } from '../../core/issuance/grant.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { type CmpSecret, endSecret, findSecret, insertSecret } from './secret-store.ts';

/** What a secret shall buy. Names as they were typed. */
export type SecretRequest = {
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
};

/** What a device is given: the reference value, and the secret that it proves to know. */
export type SecretCredential = { readonly reference: EntityId<'token'>; readonly secret: Secret; readonly expiresAt: Instant };

type SecretDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  /** What all secrets are derived from. */
  readonly root: Secret<Uint8Array>;
};

/** Makes a secret for so many certificates of one profile and exactly these names. It is derived and stored nowhere. @throws input-invalid, identity-malformed */
export async function createSecret(deps: SecretDeps, request: SecretRequest, actor: Actor, now: Instant): Promise<SecretCredential> {
  const { name, role, environment, region, profile, uses, ttlMs } = request;
  if (!(ttlMs > 0 && ttlMs <= MAXIMUM_TTL_MS)) throw invalid(`a life of ${ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  const spiffeId = request.spiffeId === null ? null : parseSpiffeId(request.spiffeId);
  const dnsNames = [...new Set(request.dnsNames.map((dns) => parseDnsPattern(dns)))];
  const ipAddresses = [...new Set(request.ipAddresses.map((ip) => parseIpAddress(ip)))];
  if (dnsNames.length + ipAddresses.length === 0 && spiffeId === null) throw invalid('no names, expected those that the device may have');
  const { lifetimeMs } = demandDoor(findProfile(deps.authorities, environment, profile), request);
  const id = newEntityId('token', now);
  const expiresAt = now + ttlMs;
  await deps.database.commit(async (unit) => {
    await insertSecret(unit.queries, {
      id,
      name,
      role,
      environment,
      region,
      profile,
      spiffeId,
      dnsNames,
      ipAddresses,
      uses,
      maxLifetimeMs: lifetimeMs.max,
      used: 0,
      createdAt: now,
      expiresAt,
      revokedAt: null,
    });
    const data = { tokenId: id, name: new Person(name), role, profile, spiffeId, dnsNames, ipAddresses, uses, expiresAt };
    recordEntry(unit, { type: 'cmp-secret.created', at: now, environment, region, actor, data });
  });
  return { reference: id, secret: secretOf(deps.root, id), expiresAt };
}

/** Takes a secret back. What it bought stays. @throws not-found; state-conflict */
export async function revokeSecret(
  deps: { readonly database: AuditedDatabase },
  id: EntityId<'token'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await deps.database.commit(async (unit) => {
    const secret = await findSecret(unit.queries, id);
    if (secret === null) throw new Problem('not-found', 'Cannot revoke CMP secret: there is none of this id');
    if (!(await endSecret(unit.queries, id, now))) throw new Problem('state-conflict', 'Cannot revoke CMP secret: it is revoked already');
    const { environment, region } = secret;
    recordEntry(unit, { type: 'cmp-secret.revoked', at: now, environment, region, actor, data: { tokenId: id } });
  });
}

/** The secret of this id, as a text that is typed into devices; its octets are the key of the MAC. */
export function secretOf(root: Secret<Uint8Array>, id: string): Secret {
  return new Secret(createHmac('sha256', root.reveal()).update('countersign cmp secret v1\0').update(id).digest('base64url'));
}

/** All that may be asked for by it. */
export function grantOf(secret: CmpSecret): Grant {
  const { id, environment, profile, spiffeId, dnsNames, ipAddresses, maxLifetimeMs } = secret;
  const bounds = { environment, doors: ['cmp'], profiles: [profile], spiffeId, dnsNames, ipAddresses, maxLifetimeMs } as const;
  return { source: `cmp/${id}`, ...bounds, spent: true };
}

/** What is refused at every request is told when the secret is made. */
function demandDoor(found: Profile | null, { profile, role }: SecretRequest): Profile {
  if (found === null) throw invalid(`there is no profile ${profile}`);
  if (found.askers.cmp?.includes(role) !== true) throw invalid(`profile ${profile} is not issued to ${role} by the door cmp`);
  return found;
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot make CMP secret: ${what}`);
}

const MAXIMUM_TTL_MS = 90 * DAY_MS;
