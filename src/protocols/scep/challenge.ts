import { createHash, randomInt } from 'node:crypto';
import type { Principal } from '../../control/access/principal.ts';
import { findAccessToken } from '../../control/access/store.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../../control/audit/entry.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { askerOf } from '../../control/ca/asker-of.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { type Challenge, endChallenge, findChallengeBySecret, insertChallenge, useChallenge } from './challenge-store.ts';

/** What one device may have, once. */
export type ChallengeRequest = {
  readonly environment: string;
  readonly region: string;
  readonly profile: ProfileName;
  readonly spiffeId: string | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlMs: number;
};

export type NewChallenge = { readonly id: EntityId<'token'>; readonly challenge: Secret; readonly expiresAt: Instant };

/**
 * Makes a challenge password (RFC 8894 section 3.3.1) that is good once, for exactly these names under this profile. Its text is returned once and stored as a
 * hash. It falls with the token of who makes it. @throws input-invalid, identity-malformed, forbidden to a machine
 */
export async function makeChallenge(
  { database, authorities }: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: ChallengeRequest,
  { principal, actor }: { readonly principal: Principal; readonly actor: Actor },
  now: Instant,
): Promise<NewChallenge> {
  const { environment, region, profile, ttlMs } = request;
  const { tokenId, name: maker } = principal;
  if (tokenId === null) throw new Problem('forbidden', 'Cannot make challenge: by the token of another issuer, expected one of ours');
  if (!(ttlMs > 0 && ttlMs <= MAXIMUM_TTL_MS))
    throw new Problem('input-invalid', `Cannot make challenge: a life of ${ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  const found = findProfile(authorities, environment, profile);
  if (found?.askers.scep === undefined)
    throw new Problem('input-invalid', `Cannot make challenge: no profile ${profile} that opens the door scep, expected one`);
  const makerRole = askerOf(principal).role;
  // The evaluator says so too, but to the device, which can do nothing about it.
  if (!found.askers.scep.includes(makerRole) || found.identities?.scep?.has(maker) === false)
    throw new Problem('forbidden', `Cannot make challenge: profile ${profile} does not let ${maker} (${makerRole}) ask by the door scep`);
  const spiffeId: SpiffeId | null = request.spiffeId === null ? null : parseSpiffeId(request.spiffeId);
  const names = { dns: request.dnsNames.map(parseDnsPattern), ip: request.ipAddresses.map(parseIpAddress) };
  if (spiffeId === null && names.dns.length + names.ip.length === 0)
    throw new Problem('input-invalid', 'Cannot make challenge: it is for no name, expected one at least');
  const challenge = newChallengeText();
  const id = newEntityId('token', now);
  const expiresAt = now + ttlMs;
  await database.commit(async (unit) => {
    const bound = { environment, region, profile, spiffeId, names, maker, makerRole, tokenId };
    await insertChallenge(unit.queries, { id, ...bound, secretSha256: hashChallenge(challenge), createdAt: now, expiresAt });
    recordEntry(unit, {
      type: 'scep-challenge.created',
      at: now,
      environment,
      region,
      actor,
      data: { tokenId: id, profile, spiffeId, names, expiresAt },
    });
  });
  return { id, challenge, expiresAt };
}

/** The challenge that this is the text of, whatever became of it; null: there is none. Found by a hash of 130 random bits, so that how long it takes tells nothing. */
export function findChallenge(database: AuditedDatabase, text: string): Promise<Challenge | null> {
  return TEXT.test(text) ? findChallengeBySecret(database.queries, hashChallenge(new Secret(text))) : Promise.resolve(null);
}

/** Why it buys nothing; null: it is good. */
export async function findFault(
  database: AuditedDatabase,
  { usedAt, revokedAt, expiresAt, tokenId }: Challenge,
  now: Instant,
): Promise<string | null> {
  if (usedAt !== null) return 'used';
  if (revokedAt !== null) return 'revoked';
  if (expiresAt <= now) return 'expired';
  const token = await findAccessToken(database.queries, tokenId);
  const isAlive = token !== null && token.endedAt === null && (token.expiresAt === null || token.expiresAt > now);
  return isAlive ? null : 'its maker has no token any more';
}

/** Uses it up in the commit of what it buys. @throws token-refused if another was faster */
export async function claimChallenge(
  unit: AuditedUnit,
  use: { readonly id: EntityId<'token'>; readonly spkiSha256: string; readonly transactionId: string },
  now: Instant,
): Promise<void> {
  if (!(await useChallenge(unit.queries, use, now))) throw new Problem('token-refused', 'Cannot use challenge: it is not good any more');
}

/** Takes a challenge back that nobody used. @throws state-conflict */
export async function revokeChallenge(
  { database }: { readonly database: AuditedDatabase },
  { id, environment, region }: Pick<Challenge, 'id' | 'environment' | 'region'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await database.commit(async (unit) => {
    if (!(await endChallenge(unit.queries, id, now)))
      throw new Problem('state-conflict', 'Cannot revoke challenge: it was used or revoked before');
    recordEntry(unit, { type: 'scep-challenge.revoked', at: now, environment, region, actor, data: { tokenId: id } });
  });
}

/** What persons type into devices: no letter that is taken for another, nothing that a PrintableString lacks. */
function newChallengeText(): Secret {
  return new Secret(Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join(''));
}

function hashChallenge(challenge: Secret): Uint8Array {
  return createHash('sha256').update('countersign scep challenge v1\0').update(challenge.reveal()).digest();
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
/** 130 bits. */
const LENGTH = 26;
const TEXT = /^[0-9a-hjkmnp-tv-z]{26}$/;
const MAXIMUM_TTL_MS = 90 * DAY_MS;
