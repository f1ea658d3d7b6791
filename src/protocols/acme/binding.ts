import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Role } from '../../control/access/role.ts';
import type { AuditedDatabase, AuditedUnit } from '../../control/audit/entry.ts';
import { claimGrant, findGrantFault } from '../../control/grants/claim-grant.ts';
import type { DoorGrant } from '../../control/grants/door-grant.ts';
import { type GrantRequest, makeGrant, type Maker } from '../../control/grants/make-grant.ts';
import { findGrant } from '../../control/grants/store.ts';
import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { decodeBase64url } from './base64url.ts';
import { type AccountKey, parseJwk } from './jwk.ts';
import { parseJsonText } from './jws.ts';
import { AcmeProblem, malformed } from './problems.ts';

export type BindingRequest = Pick<GrantRequest, 'environment' | 'region' | 'ttlMs'> & { readonly name: string; readonly role: Role };

/** Makes a grant that binds one account to a role (RFC 8555 section 7.3.4), with its MAC key as base64url, which is derived and stored nowhere. @throws what `makeGrant` throws */
export async function makeBinding(
  { bindings, ...deps }: Parameters<typeof makeGrant>[0] & { readonly bindings: Secret<Uint8Array> },
  request: BindingRequest,
  maker: Maker,
  now: Instant,
): Promise<{ readonly grant: DoorGrant; readonly secret: Secret }> {
  const grant = await makeGrant(deps, { ...request, door: 'acme', bounds: null, uses: 1 }, maker, now);
  return { grant, secret: new Secret(macKeyOf(bindings, grant.id).toString('base64url')) };
}

/** A binding whose MAC was verified; that its grant is good is asked again when it is claimed. */
export type VerifiedBinding = { readonly grant: DoorGrant; readonly jws: { readonly [name: string]: unknown } };

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
  const { queries } = deps.database;
  const grant = isEntityId('token', kid) ? await findGrant(queries, 'acme', kid) : null;
  if (grant === null) throw refused(`no grant of this key, and its MAC is ${genuine ? 'right' : 'wrong'}`);
  const fault = genuine ? await findGrantFault(queries, grant, now) : 'the MAC is not by its key';
  if (fault !== null) throw refused(`${grant.id}: ${fault}`);
  if (parseJwk(readJson(payloadText, 'the payload of the binding')).thumbprint !== outer.key.thumbprint) {
    throw malformed("the binding's payload is not the account's key");
  }
  return { grant, jws: value as VerifiedBinding['jws'] };
}

/** Uses the grant up in the commit that makes the account. @throws unauthorized if another account was faster */
export async function claimBinding(
  unit: AuditedUnit,
  { grant }: VerifiedBinding,
  accountId: EntityId<'account'>,
  now: Instant,
): Promise<void> {
  const { id, door } = grant;
  const fault = await claimGrant(unit, { id, door, by: accountId, spkiSha256: null }, now);
  if (fault !== null) throw refused(`${id}: ${fault}`);
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
function refused(reason: string): AcmeProblem {
  return new AcmeProblem('unauthorized', 'Cannot bind account: the key is unknown, used, revoked or expired, or the MAC is not of it', {
    reason,
  });
}

const macs = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' } as const;
