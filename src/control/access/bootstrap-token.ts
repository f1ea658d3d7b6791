import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS, type Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import {
  type BearerToken,
  encodeBearerToken,
  hashTokenSecret,
  newTokenSecret,
  parseBearerToken,
  tokenSecretMatches,
} from './bearer-token.ts';
import { checkTokenRequest } from './create-token.ts';
import {
  type AccessTokenRecord,
  endAccessToken,
  endBootstrapTokens,
  findAccessToken,
  insertAccessToken,
  listAccessTokens,
} from './store.ts';

/** True while nobody holds a live admin token, so that the next start must offer a way in. */
export async function needsBootstrap(queries: Queries, now: Instant): Promise<boolean> {
  const tokens = await listAccessTokens(queries, { endedAfter: now });
  return !tokens.some(
    (token) => token.kind === 'named' && token.role === 'admin' && token.endedAt === null && (token.expiresAt ?? Infinity) > now,
  );
}

/** A token of one hour whose only use is one exchange for a named admin token; any earlier one ends. The caller writes it to a 0600 file. */
export async function createBootstrapToken(
  deps: { readonly database: AuditedDatabase },
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<Secret> {
  const tokenId = newEntityId('token', now);
  const secret = newTokenSecret();
  await deps.database.commit(async (unit) => {
    await endBootstrapTokens(unit.queries, now);
    await insertAccessToken(unit.queries, {
      id: tokenId,
      kind: 'bootstrap',
      name: 'bootstrap',
      role: 'admin',
      scope: '*',
      ...place,
      secretSha256: hashTokenSecret(secret),
      createdAt: now,
      expiresAt: now + LIFE_MS,
      endedAt: null,
    });
    recordEntry(unit, {
      type: 'bootstrap-token.created',
      at: now,
      ...place,
      actor: { kind: 'system', name: 'bootstrap' },
      data: { tokenId, expiresAt: now + LIFE_MS },
    });
  });
  return encodeBearerToken({ tokenId, secret });
}

/** True if the token would be exchanged now. It changes nothing, so that a guess costs a read and no commit. */
export async function holdsBootstrapToken(deps: { readonly database: AuditedDatabase }, bearer: Secret, now: Instant): Promise<boolean> {
  const given = parseBearerToken(bearer.reveal());
  return given !== null && (await findOpenToken(deps.database.queries, given, now)) !== null;
}

/** Gives a named admin token for the bootstrap token, once. @throws token-refused, input-invalid */
export async function exchangeBootstrapToken(
  deps: { readonly database: AuditedDatabase },
  request: { readonly bearer: Secret; readonly name: string },
  now: Instant,
): Promise<Secret> {
  checkTokenRequest({ name: request.name, role: 'admin', scope: '*', ttlMs: null });
  const given = parseBearerToken(request.bearer.reveal());
  if (given === null) throw refused();
  const tokenId = newEntityId('token', now);
  const secret = newTokenSecret();
  await deps.database.commit(async (unit) => {
    const held = await findOpenToken(unit.queries, given, now);
    if (held === null || !(await endAccessToken(unit.queries, held.id, now))) throw refused();
    const { environment, region } = held;
    await insertAccessToken(unit.queries, {
      ...held,
      id: tokenId,
      kind: 'named',
      name: request.name,
      secretSha256: hashTokenSecret(secret),
      createdAt: now,
      expiresAt: null,
    });
    recordEntry(unit, {
      type: 'bootstrap-token.exchanged',
      at: now,
      environment,
      region,
      actor: { kind: 'person', name: request.name },
      data: { bootstrapTokenId: held.id, tokenId, role: 'admin' },
    });
  });
  return encodeBearerToken({ tokenId, secret });
}

/** The bootstrap token if it is this one and still open; null alike for every other reason. */
async function findOpenToken(queries: Queries, given: BearerToken, now: Instant): Promise<AccessTokenRecord | null> {
  const held = await findAccessToken(queries, given.tokenId);
  if (!tokenSecretMatches(given.secret, held?.secretSha256 ?? null) || held === null) return null;
  return held.kind === 'bootstrap' && held.endedAt === null && held.expiresAt !== null && held.expiresAt > now ? held : null;
}

function refused(): Problem {
  return new Problem('token-refused', 'Cannot exchange bootstrap token: unknown, used or expired, expected the one of this first start');
}

const LIFE_MS = HOUR_MS;
