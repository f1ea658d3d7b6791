import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type ChallengeType, challengesFor } from './challenge-type.ts';
import type { Identifier } from './identifier.ts';
import type { ProblemDocument } from './problems.ts';
import type { AcmeSettings } from './acme-settings.ts';
import type { AcmeUrls } from './urls.ts';

/**
 * An account's standing for one identifier. One token serves all its challenges, and one challenge is tried: its outcome is the
 * authorization's, so that two posts of different challenges cannot contradict each other.
 */
export type Authorization = {
  readonly id: EntityId<'authorization'>;
  readonly accountId: EntityId<'account'>;
  readonly environment: string;
  readonly region: string;
  /** Without `*.`. */
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated';
  /** 256 random bits, base64url. */
  readonly token: string;
  /** The challenge that the client chose; null: none yet. */
  readonly challenge: ChallengeType | null;
  /** Of the challenge; while it is tried again, of the last try. */
  readonly error: ProblemDocument | null;
  readonly validatedAt: Instant | null;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
};

export type AuthorizationStatus = Authorization['status'] | 'expired';

/** RFC 8555 section 7.1.6; time ends what is pending or valid. */
export function authorizationStatus(now: Instant, { status, expiresAt }: Pick<Authorization, 'status' | 'expiresAt'>): AuthorizationStatus {
  return (status === 'pending' || status === 'valid') && expiresAt <= now ? 'expired' : status;
}

/** What the order asked for, `*.` included. */
export function orderedName({ identifier, wildcard }: Pick<Authorization, 'identifier' | 'wildcard'>): string {
  return wildcard ? `*.${identifier.value}` : identifier.value;
}

/** What of the settings a client is shown. */
export type Offer = Pick<AcmeSettings, 'challenges' | 'caaIdentities'>;

export function viewAuthorization(now: Instant, authorization: Authorization, offer: Offer, urls: AcmeUrls): object {
  const { identifier, wildcard, challenge } = authorization;
  // Once one was tried, the others are of no use (RFC 8555 section 7.1.4).
  const types =
    challenge === null ? challengesFor(identifier.type, wildcard).filter((type) => offer.challenges.includes(type)) : [challenge];
  return {
    status: authorizationStatus(now, authorization),
    expires: new Date(authorization.expiresAt).toISOString(),
    identifier,
    ...(wildcard ? { wildcard } : {}),
    challenges: types.map((type) => viewChallenge(authorization, type, offer, urls)),
  };
}

/** RFC 8555 section 7.1.5. A challenge that waits for its validator is processing. */
export function viewChallenge(authorization: Authorization, type: ChallengeType, { caaIdentities }: Offer, urls: AcmeUrls): object {
  const { id, accountId, token, challenge, error, validatedAt } = authorization;
  const chosen = challenge === type;
  return {
    type,
    url: urls.challenge(id, type),
    status: chosen ? challengeStatus(authorization) : 'pending',
    // A record that stays is bound to the account, not to a token (draft-ietf-acme-dns-persist-00).
    ...(type === 'dns-persist-01' ? { accounturi: urls.account(accountId), 'issuer-domain-names': caaIdentities } : { token }),
    ...(chosen && validatedAt !== null ? { validated: new Date(validatedAt).toISOString() } : {}),
    ...(chosen && error !== null && validatedAt === null ? { error } : {}),
  };
}

export function challengeStatus({ status, validatedAt, error }: Authorization): 'processing' | 'valid' | 'invalid' {
  if (validatedAt !== null) return 'valid';
  if (status === 'pending') return 'processing';
  return error === null ? 'processing' : 'invalid';
}
