import { createHash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { KeySets } from './key-sets.ts';
import { MachineTokenRefused } from './machine-token-refused.ts';
import { type IdentityProviderRecord, listIdentityProviders } from './machine-token-store.ts';

/** What a token says once its signature, times and audience are checked, and whose rules are asked next. */
export type VerifiedToken = {
  readonly payload: JWTPayload;
  readonly providers: readonly IdentityProviderRecord[];
  /** SHA-256, hex, of issuer and `jti` or, without one, of what was signed: a signature can be written in two ways. */
  readonly digest: string;
  /** From when the token is refused for its age. */
  readonly expiresAt: Instant;
};

/** True of what has the form of a compact JWS (RFC 7515 section 3.1): never a token of ours. */
export function isJwt(text: string): boolean {
  return /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/.test(text);
}

/** Verifies a JWT against the declared issuers (RFC 7519 section 7.2, RFC 8725). @throws MachineTokenRefused */
export async function verifyMachineToken(
  deps: { readonly database: { readonly queries: Queries }; readonly keySets: KeySets },
  token: string,
  now: Instant,
): Promise<VerifiedToken> {
  const claimed = readClaimed(token);
  const trusted = await listIdentityProviders(deps.database.queries, claimed.issuer);
  if (trusted.length === 0) throw new MachineTokenRefused('unknown-issuer', claimed.issuer);
  const providers = trusted.filter(({ provider }) => claimed.audiences.includes(provider.audience));
  const [first] = providers;
  if (first === undefined) throw new MachineTokenRefused('wrong-audience');
  const { issuer, audience, jwksUri, anchorsPem } = first.provider;
  // Rules of another declaration of the issuer count too, if its keys come from the same place.
  const alike = providers.filter(({ provider }) => provider.jwksUri === jwksUri && provider.anchorsPem === anchorsPem);
  const payload = await verifyWith(deps.keySets, token, { record: first, issuer, audience }, now);
  const longest = Math.min(...alike.map(({ provider }) => provider.maxTokenLifetimeMs));
  const { exp = 0, iat, jti } = payload;
  const begun = iat === undefined ? now : iat * SECOND_MS;
  if (begun > now + TOLERANCE_S * SECOND_MS) throw new MachineTokenRefused('not-yet-valid', 'iat');
  if (exp * SECOND_MS - begun > longest)
    throw new MachineTokenRefused('lifetime', `${exp * SECOND_MS - begun} ms, expected at most ${longest}`);
  const unique = jti === undefined ? `signed ${token.slice(0, token.lastIndexOf('.'))}` : `jti ${jti}`;
  const digest = createHash('sha256')
    .update(JSON.stringify([issuer, unique]))
    .digest('hex');
  return { payload, providers: alike, digest, expiresAt: (exp + TOLERANCE_S + 1) * SECOND_MS };
}

function readClaimed(token: string): { readonly issuer: string; readonly audiences: readonly unknown[] } {
  if (token.length > MAXIMUM_CHARACTERS || !isJwt(token)) throw new MachineTokenRefused('malformed');
  try {
    const { alg } = decodeProtectedHeader(token);
    if (typeof alg !== 'string' || !ALGORITHMS.includes(alg)) throw new MachineTokenRefused('algorithm', String(alg).slice(0, 20));
    const { iss, aud } = decodeJwt(token);
    if (typeof iss !== 'string' || iss.length > 500) throw new MachineTokenRefused('claims', 'iss');
    return { issuer: iss, audiences: Array.isArray(aud) ? aud : [aud] };
  } catch (error) {
    throw error instanceof MachineTokenRefused ? error : new MachineTokenRefused('malformed');
  }
}

async function verifyWith(
  keySets: KeySets,
  token: string,
  { record, issuer, audience }: { readonly record: IdentityProviderRecord; readonly issuer: string; readonly audience: string },
  now: Instant,
): Promise<JWTPayload> {
  for (const unknownKey of [false, true]) {
    const found = await keySets.keysOf(record.provider, now, { unknownKey });
    if (found.kind === 'none') throw new MachineTokenRefused('keys-unavailable', found.detail);
    try {
      const verified = await jwtVerify(token, found.keys, {
        algorithms: [...ALGORITHMS],
        issuer,
        audience,
        currentDate: new Date(now),
        clockTolerance: TOLERANCE_S,
        requiredClaims: ['exp', 'sub'],
      });
      return verified.payload;
    } catch (error) {
      if (!unknownKey && error instanceof errors.JWKSNoMatchingKey) continue;
      throw refusalOf(error);
    }
  }
  throw new MachineTokenRefused('unknown-key');
}

function refusalOf(error: unknown): MachineTokenRefused {
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return new MachineTokenRefused('unknown-key');
  if (error instanceof errors.JWSSignatureVerificationFailed) return new MachineTokenRefused('signature');
  if (error instanceof errors.JWTExpired) return new MachineTokenRefused('expired');
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return new MachineTokenRefused('algorithm');
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new MachineTokenRefused(
      error.claim === 'nbf' ? 'not-yet-valid' : error.claim === 'aud' ? 'wrong-audience' : 'claims',
      error.claim,
    );
  }
  // What is left is broken input or a key of the issuer that cannot be used, such as RSA below 2048 bits.
  return new MachineTokenRefused('malformed', error instanceof Error ? error.message : '');
}

/** RFC 8725 section 3.1: no `none`, and no shared secrets, which the published key could be taken for. */
const ALGORITHMS: readonly string[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** Clocks of runners and issuers differ by some seconds. */
const TOLERANCE_S = 30;
/** A header of 16 KiB is all that the listener reads. */
const MAXIMUM_CHARACTERS = 12_000;
