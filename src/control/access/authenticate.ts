import type { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { parseBearerToken, tokenSecretMatches } from './bearer-token.ts';
import type { Principal } from './principal.ts';
import { findAccessToken } from './store.ts';

/** The holder of a live named token, or null: unknown, wrong, expired, revoked and malformed look alike from outside. */
export async function authenticate(
  deps: { readonly database: { readonly queries: Queries } },
  bearer: Secret,
  now: Instant,
): Promise<Principal | null> {
  const token = parseBearerToken(bearer.reveal());
  if (token === null) return null;
  const record = await findAccessToken(deps.database.queries, token.tokenId);
  if (!tokenSecretMatches(token.secret, record?.secretSha256 ?? null) || record === null) return null;
  if (record.kind !== 'named' || record.endedAt !== null || (record.expiresAt !== null && record.expiresAt <= now)) return null;
  return { tokenId: record.id, name: record.name, role: record.role, scope: record.scope };
}
