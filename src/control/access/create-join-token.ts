import { encodeJoinToken } from '../../core/identity/join-token.ts';
import { environmentOf, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { hashTokenSecret, newTokenSecret } from './bearer-token.ts';
import { type JoinRole, joinRoles, roleMayHold } from './join-role.ts';
import { insertJoinToken, type JoinTokenRecord } from './join-token-store.ts';

export type JoinTokenRequest = {
  readonly spiffeId: SpiffeId;
  readonly role: JoinRole;
  readonly proxyName: string;
  /** The id of the declared proxy that will join; a fresh one if absent. */
  readonly proxyId?: EntityId<'proxy'>;
  readonly environment: string;
  readonly region: string;
  readonly ttlMs: number;
  /** What the joiner checks before it sends anything: SHA-256 of the root's SPKI (hex), and whom it must find. */
  readonly rootSpkiSha256: string;
  readonly controlPlane: SpiffeId;
};

/** Makes a token for one join under one identity and role; its text is returned once. @throws input-invalid */
export async function createJoinToken(
  deps: { readonly database: AuditedDatabase },
  request: JoinTokenRequest,
  actor: Actor,
  now: Instant,
): Promise<Secret> {
  checkJoinTokenRequest(request);
  const { spiffeId, role, proxyName, environment, region } = request;
  const secret = newTokenSecret();
  const record: JoinTokenRecord = {
    id: newEntityId('token', now),
    secretSha256: hashTokenSecret(secret),
    spiffeId,
    role,
    proxyId: request.proxyId ?? newEntityId('proxy', now),
    proxyName,
    environment,
    region,
    createdAt: now,
    expiresAt: now + request.ttlMs,
    revokedAt: null,
    claimedBy: null,
    claimedAt: null,
    claims: 0,
  };
  await deps.database.commit(async (unit) => {
    await insertJoinToken(unit.queries, record);
    recordEntry(unit, {
      type: 'join-token.created',
      at: now,
      environment,
      region,
      actor,
      data: { tokenId: record.id, spiffeId, role, proxyId: record.proxyId, proxyName, expiresAt: record.expiresAt },
    });
  });
  return encodeJoinToken({ tokenId: record.id, secret, rootSpkiSha256: request.rootSpkiSha256, controlPlane: request.controlPlane });
}

function checkJoinTokenRequest(request: JoinTokenRequest): void {
  if (!joinRoles.includes(request.role)) refuse(`the role is unknown, expected ${joinRoles.join(', ')}`);
  if (environmentOf(request.spiffeId) !== request.environment) refuse(`${request.spiffeId} is not of environment ${request.environment}`);
  if (!roleMayHold(request.role, request.spiffeId, request.environment)) refuse(`a ${request.role} may not be ${request.spiffeId}`);
  if (!PROXY_NAME.test(request.proxyName)) refuse('the proxy name is malformed, expected 1 to 128 of [a-zA-Z0-9._-]');
  if (!Number.isSafeInteger(request.ttlMs) || request.ttlMs <= 0 || request.ttlMs > MAXIMUM_TTL_MS) {
    refuse(`a life of ${request.ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  }
}

function refuse(what: string): never {
  throw new Problem('input-invalid', `Cannot make join token: ${what}`);
}

const PROXY_NAME = /^[a-zA-Z0-9._-]{1,128}$/;
/** A token that lies about for longer is found by somebody else. */
const MAXIMUM_TTL_MS = 7 * DAY_MS;
