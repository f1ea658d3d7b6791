import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { tokenSecretMatches } from './bearer-token.ts';
import type { JoinRole } from './join-role.ts';
import { findJoinToken, type JoinTokenRecord, markJoinTokenClaimed } from './join-token-store.ts';

/** What the joiner presents. */
export type JoinClaim = {
  readonly tokenId: string;
  readonly secret: Secret;
  /** SHA-256 of the public key in its request (hex): a retry with the same key gets the same grant. */
  readonly csrSpkiSha256: string;
};

/** What the token is good for. */
export type JoinGrant = {
  readonly tokenId: EntityId<'token'>;
  readonly proxyId: EntityId<'proxy'>;
  readonly proxyName: string;
  readonly spiffeId: SpiffeId;
  readonly role: JoinRole;
  readonly environment: string;
  readonly region: string;
};

/** A token that is open; whose it is shows when its bearer's request is read. */
export type OpenJoinToken = {
  /** What the key of this hash gets by it. @throws token-refused if another key has it */
  grantTo(csrSpkiSha256: string): JoinGrant;
};

/** The token, if it would be accepted now. Claims nothing, and wants no request: what a stranger sends is not read. @throws token-refused */
export async function checkJoinToken(
  queries: Queries,
  bearer: Pick<JoinClaim, 'tokenId' | 'secret'>,
  now: Instant,
): Promise<OpenJoinToken> {
  const token = await findOpen(queries, bearer, now);
  return {
    grantTo(csrSpkiSha256) {
      demandOwner(token, csrSpkiSha256);
      return grantOf(token);
    },
  };
}

/**
 * Claims the token in the commit of the reservation that it buys, so that both are kept or none.
 * The first key owns it; the same key may claim again while the token lives, because its answer may have been lost.
 * @throws token-refused
 */
export async function claimJoinToken(unit: AuditedUnit, claim: JoinClaim, now: Instant): Promise<JoinGrant> {
  const token = await findOpen(unit.queries, claim, now);
  demandOwner(token, claim.csrSpkiSha256);
  const claimed = await markJoinTokenClaimed(
    unit.queries,
    { id: token.id, claimedBy: claim.csrSpkiSha256, maximumClaims: MAXIMUM_CLAIMS },
    now,
  );
  if (!claimed) throw refused();
  recordEntry(unit, {
    type: 'join-token.claimed',
    at: now,
    environment: token.environment,
    region: token.region,
    actor: { kind: 'machine', name: token.spiffeId },
    data: { tokenId: token.id, proxyId: token.proxyId, csrSpkiSha256: claim.csrSpkiSha256, claims: token.claims + 1 },
  });
  return grantOf(token);
}

async function findOpen(
  queries: Queries,
  { tokenId, secret }: Pick<JoinClaim, 'tokenId' | 'secret'>,
  now: Instant,
): Promise<JoinTokenRecord> {
  if (!isEntityId('token', tokenId)) throw refused();
  const token = await findJoinToken(queries, tokenId);
  if (!tokenSecretMatches(secret, token?.secretSha256 ?? null) || token === null) throw refused();
  if (token.revokedAt !== null || token.expiresAt <= now || token.claims >= MAXIMUM_CLAIMS) throw refused();
  return token;
}

/** @throws token-refused */
function demandOwner({ claimedBy }: JoinTokenRecord, csrSpkiSha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(csrSpkiSha256) || (claimedBy !== null && claimedBy !== csrSpkiSha256)) throw refused();
}

function grantOf(token: JoinTokenRecord): JoinGrant {
  const { id: tokenId, proxyId, proxyName, spiffeId, role, environment, region } = token;
  return { tokenId, proxyId, proxyName, spiffeId, role, environment, region };
}

/** One text for every reason: the outside learns nothing about tokens that it does not hold. */
function refused(): Problem {
  return new Problem('token-refused', 'Cannot join: the token is unknown, used, revoked or expired, expected an open join token');
}

/** Retries of one key after lost answers; each is a certificate, so they are few. */
const MAXIMUM_CLAIMS = 5;
