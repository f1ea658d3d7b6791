import { createHash, randomInt } from 'node:crypto';
import type { DoorGrant } from '../../control/grants/door-grant.ts';
import { type GrantRequest, makeGrant, type Maker, type WantedBounds } from '../../control/grants/make-grant.ts';
import { findGrantBySecret } from '../../control/grants/store.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

export type ChallengeRequest = Pick<GrantRequest, 'environment' | 'region' | 'ttlMs'> & { readonly bounds: WantedBounds };

/** Makes a grant for one certificate of exactly these names, with its challenge password (RFC 8894 section 3.3.1), whose text is returned once and stored as a hash. @throws what `makeGrant` throws */
export async function makeChallenge(
  deps: Parameters<typeof makeGrant>[0],
  request: ChallengeRequest,
  maker: Maker,
  now: Instant,
): Promise<{ readonly grant: DoorGrant; readonly secret: Secret }> {
  const secret = newChallengeText();
  // What may be asked for is for who makes it to ask: whoever types it into a device has no say.
  const wanted = { ...request, door: 'scep', name: null, role: 'own', uses: 1, secretSha256: hashChallenge(secret) } as const;
  return { grant: await makeGrant(deps, wanted, maker, now), secret };
}

/** The grant that this is the text of, whatever became of it; null: there is none. Found by a hash of 130 random bits, so that how long it takes tells nothing. */
export function findChallenge(queries: Queries, text: string): Promise<DoorGrant | null> {
  return TEXT.test(text) ? findGrantBySecret(queries, 'scep', hashChallenge(new Secret(text))) : Promise.resolve(null);
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
