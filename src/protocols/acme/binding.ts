import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Role } from '../../control/access/role.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../../control/audit/entry.ts';
import { Person } from '../../control/audit/person.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { decodeBase64url } from './base64url.ts';
import { type BindingToken, claimBindingToken, endBindingToken, findBindingToken, insertBindingToken } from './binding-store.ts';
import { type AccountKey, parseJwk } from './jwk.ts';
import { parseJsonText } from './jws.ts';
import { AcmeProblem, malformed } from './problems.ts';

export type BindingRequest = {
  readonly name: string;
  readonly role: Role;
  readonly environment: string;
  readonly region: string;
  readonly ttlMs: number;
};

/** What an ACME client is given for its first account: key id, and MAC key as base64url. */
export type BindingCredential = { readonly keyId: EntityId<'token'>; readonly macKey: Secret; readonly expiresAt: Instant };

/** Makes a token that binds one account to a role (RFC 8555 section 7.3.4). The MAC key is derived and stored nowhere. @throws input-invalid */
export async function createBindingToken(
  deps: { readonly database: AuditedDatabase; readonly bindings: Secret<Uint8Array> },
  request: BindingRequest,
  actor: Actor,
  now: Instant,
): Promise<BindingCredential> {
  const { name, role, environment, region, ttlMs } = request;
  if (!(ttlMs > 0 && ttlMs <= MAXIMUM_TTL_MS)) {
    throw new Problem('input-invalid', `Cannot make binding token: a life of ${ttlMs} ms, expected 1 to ${MAXIMUM_TTL_MS}`);
  }
  const id = newEntityId('token', now);
  const expiresAt = now + ttlMs;
  await deps.database.commit(async (unit) => {
    await insertBindingToken(unit.queries, {
      id,
      name,
      role,
      environment,
      region,
      createdAt: now,
      expiresAt,
      usedAt: null,
      revokedAt: null,
    });
    const data = { tokenId: id, name: new Person(name), role, expiresAt };
    recordEntry(unit, { type: 'acme-binding.created', at: now, environment, region, actor, data });
  });
  return { keyId: id, macKey: new Secret(macKeyOf(deps.bindings, id).toString('base64url')), expiresAt };
}

/** Takes a token back that nobody used. @throws not-found; state-conflict */
export async function revokeBindingToken(
  deps: { readonly database: AuditedDatabase },
  id: EntityId<'token'>,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await deps.database.commit(async (unit) => {
    const token = await findBindingToken(unit.queries, id);
    if (token === null) throw new Problem('not-found', 'Cannot revoke binding token: there is none of this id');
    if (!(await endBindingToken(unit.queries, id, now))) {
      throw new Problem('state-conflict', 'Cannot revoke binding token: it is used or revoked already');
    }
    const { environment, region } = token;
    recordEntry(unit, { type: 'acme-binding.revoked', at: now, environment, region, actor, data: { tokenId: id } });
  });
}

/** A binding whose MAC was verified; that its token is open is asked again when it is claimed. */
export type VerifiedBinding = { readonly token: BindingToken; readonly jws: { readonly [name: string]: unknown } };

/**
 * Verifies the inner JWS: MAC under the token's key, no nonce, the same url, the account's key as its payload.
 * @throws malformed, unauthorized
 */
export async function verifyBinding(
  deps: { readonly database: AuditedDatabase; readonly bindings: Secret<Uint8Array> },
  value: unknown,
  outer: { readonly key: AccountKey; readonly url: string },
  now: Instant,
): Promise<VerifiedBinding> {
  const { protectedText, payloadText, signature } = readInner(value);
  const header = readJson(protectedText, 'the header of the binding') as { readonly [name: string]: unknown };
  const { alg, kid, url } = header;
  const hash = typeof alg === 'string' && Object.hasOwn(macs, alg) ? macs[alg as keyof typeof macs] : null;
  if (hash === null) throw malformed(`the binding's alg is no MAC of ${Object.keys(macs).join(', ')}`);
  if (Object.hasOwn(header, 'nonce')) throw malformed('the binding has a nonce');
  if (typeof kid !== 'string' || url !== outer.url) throw malformed("the binding has no kid, or its url is not the request's");
  const mac = createHmac(hash, macKeyOf(deps.bindings, kid)).update(`${protectedText}.${payloadText}`).digest();
  const genuine = mac.length === signature.length && timingSafeEqual(mac, signature);
  const token = await findBindingToken(deps.database.queries, kid);
  if (!genuine || token === null || token.usedAt !== null || token.revokedAt !== null || token.expiresAt <= now) throw refused();
  if (parseJwk(readJson(payloadText, 'the payload of the binding')).thumbprint !== outer.key.thumbprint) {
    throw malformed("the binding's payload is not the account's key");
  }
  return { token, jws: value as VerifiedBinding['jws'] };
}

/** Uses the token up in the commit that makes the account. @throws unauthorized if another account was faster */
export async function claimBinding(
  unit: AuditedUnit,
  { token }: VerifiedBinding,
  accountId: EntityId<'account'>,
  now: Instant,
): Promise<void> {
  if (!(await claimBindingToken(unit.queries, token.id, accountId, now))) throw refused();
}

function macKeyOf(bindings: Secret<Uint8Array>, id: string): Buffer {
  return createHmac('sha256', bindings.reveal()).update('countersign acme binding v1\0').update(id).digest();
}

function readInner(value: unknown): { readonly protectedText: string; readonly payloadText: string; readonly signature: Buffer } {
  const {
    protected: protectedText,
    payload: payloadText,
    signature,
  } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly [name: string]: unknown;
  };
  const octets = typeof signature === 'string' ? decodeBase64url(signature) : null;
  if (typeof protectedText !== 'string' || typeof payloadText !== 'string' || octets === null)
    throw malformed('the binding is no flattened JWS');
  return { protectedText, payloadText, signature: octets };
}

function readJson(text: string, what: string): unknown {
  const value = parseJsonText(decodeBase64url(text)?.toString('utf8') ?? '', what);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${what} is no JSON object`);
  return value;
}

/** One text for every reason: the outside learns nothing about tokens that it does not hold. */
function refused(): AcmeProblem {
  return new AcmeProblem('unauthorized', 'Cannot bind account: the key is unknown, used, revoked or expired, or the MAC is not of it');
}

const macs = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' } as const;
const MAXIMUM_TTL_MS = 90 * DAY_MS;
