import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { encodeBearerToken, hashTokenSecret, newTokenSecret } from './bearer-token.ts';
import type { Scope } from './principal.ts';
import { isRole, type Role } from './role.ts';
import { insertAccessToken } from './store.ts';

export type TokenRequest = {
  readonly name: string;
  readonly role: Role;
  readonly scope: Scope;
  readonly environment: string;
  readonly region: string;
  /** Null: until it is revoked. At most ten years. */
  readonly ttlMs: number | null;
};

/** Makes a named token. Its text is returned once and stored as a hash only. @throws input-invalid */
export async function createToken(
  deps: { readonly database: AuditedDatabase },
  request: TokenRequest,
  actor: Actor,
  now: Instant,
): Promise<{ readonly tokenId: EntityId<'token'>; readonly token: Secret }> {
  checkTokenRequest(request);
  const tokenId = newEntityId('token', now);
  const secret = newTokenSecret();
  await deps.database.commit(async (unit) => {
    await insertAccessToken(unit.queries, {
      id: tokenId,
      kind: 'named',
      name: request.name,
      role: request.role,
      scope: request.scope,
      environment: request.environment,
      region: request.region,
      secretSha256: hashTokenSecret(secret),
      createdAt: now,
      expiresAt: request.ttlMs === null ? null : now + request.ttlMs,
      endedAt: null,
    });
    recordEntry(unit, {
      type: 'token.created',
      at: now,
      environment: request.environment,
      region: request.region,
      actor,
      data: { tokenId, role: request.role, scope: request.scope, expiresAt: request.ttlMs === null ? null : now + request.ttlMs },
    });
  });
  return { tokenId, token: encodeBearerToken({ tokenId, secret }) };
}

/** @throws input-invalid */
export function checkTokenRequest(request: Pick<TokenRequest, 'name' | 'role' | 'scope' | 'ttlMs'>): void {
  if (!NAME.test(request.name)) {
    throw new Problem(
      'input-invalid',
      `Cannot make token: the name has ${request.name.length} characters, expected 1 to 100 without controls`,
    );
  }
  if (!isRole(request.role)) throw new Problem('input-invalid', 'Cannot make token: the role is unknown');
  if (
    request.scope !== '*' &&
    (request.scope.length === 0 || request.scope.length > MAXIMUM_SCOPE || !request.scope.every((name) => LABEL.test(name)))
  ) {
    throw new Problem(
      'input-invalid',
      `Cannot make token: the scope names no environment or one that cannot exist, expected 1 to ${MAXIMUM_SCOPE} names or "*"`,
    );
  }
  if (request.ttlMs !== null && !(Number.isSafeInteger(request.ttlMs) && request.ttlMs > 0 && request.ttlMs <= MAXIMUM_TTL_MS)) {
    throw new Problem('input-invalid', `Cannot make token: a life of ${request.ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  }
}

// oxlint-disable-next-line no-control-regex -- refusing controls is the point
const NAME = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,100}$/;
const LABEL = /^[a-zA-Z0-9._-]{1,63}$/;
const MAXIMUM_SCOPE = 100;
const MAXIMUM_TTL_MS = 3650 * DAY_MS;
