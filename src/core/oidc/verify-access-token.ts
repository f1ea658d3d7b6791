import type { Instant } from '../time/instant.ts';
import type { TokenKey } from './token-key.ts';

/** Which tokens are taken. */
export type TokenRules = { readonly issuer: string; readonly audiences: readonly string[]; readonly keys: readonly TokenKey[] };

/** What a good token says; times in milliseconds. */
export type AccessToken = {
  readonly validFrom: Instant;
  readonly validUntil: Instant;
  /** SHA-256 of the certificate that it is bound to (RFC 8705 section 3.1). */
  readonly certificateSha256: Uint8Array;
};

export type TokenReading = { readonly kind: 'token'; readonly token: AccessToken } | { readonly kind: 'bad'; readonly because: string };

/** Reads a signed JWT (RFC 7519, RFC 9068) that is bound to a certificate. Its times are for whoever asks, at each use. */
export function verifyAccessToken(text: string, rules: TokenRules): TokenReading {
  const match = text.length <= MAXIMUM_CHARACTERS ? COMPACT.exec(text) : null;
  if (match === null) return bad('no signed token in compact form');
  const [, header, payload, signature] = match as unknown as readonly [string, string, string, string];
  const protectedHeader = readObject(header);
  const claims = readObject(payload);
  if (protectedHeader === null || claims === null) return bad('a part that is no JSON object');
  const { alg, kid, typ, crit } = protectedHeader;
  if (crit !== undefined) return bad('an extension that has to be understood');
  if (typ !== undefined && (typeof typ !== 'string' || !TYPES.has(typ.toLowerCase()))) return bad('another type of token');
  const octets = Buffer.from(`${header}.${payload}`);
  const keys = rules.keys.filter((key) => key.algorithm === alg && (kid === undefined || key.kid === '' || key.kid === kid));
  if (!keys.some((key) => key.isSignatureOf(octets, Buffer.from(signature, 'base64url')))) return bad('no signature of a known key');
  return readClaims(claims, rules);
}

function readClaims(claims: Json, { issuer, audiences }: TokenRules): TokenReading {
  const { iss, aud, exp, nbf, cnf } = claims;
  const meant: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (iss !== issuer) return bad('another issuer');
  if (!meant.some((audience) => typeof audience === 'string' && audiences.includes(audience))) return bad('another audience');
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return bad('no end');
  if (nbf !== undefined && (typeof nbf !== 'number' || !Number.isFinite(nbf))) return bad('a beginning that is none');
  const bound = typeof cnf === 'object' && cnf !== null ? (cnf as Json)['x5t#S256'] : undefined;
  if (typeof bound !== 'string' || !THUMBPRINT.test(bound)) return bad('not bound to a certificate');
  const certificateSha256 = Buffer.from(bound, 'base64url');
  return { kind: 'token', token: { validFrom: (nbf ?? 0) * 1_000, validUntil: exp * 1_000, certificateSha256 } };
}

type Json = { readonly [name: string]: unknown };

function readObject(part: string): Json | null {
  try {
    const value: unknown = JSON.parse(UTF8.decode(Buffer.from(part, 'base64url')));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}

function bad(because: string): TokenReading {
  return { kind: 'bad', because };
}

/** RFC 7515 section 7.1: three parts, none of them empty. */
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;
const TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/at+jwt']);
const UTF8 = new TextDecoder('utf-8', { fatal: true });
/** Of the head that a call may have a quarter; tokens with many claims are a few thousand. */
const MAXIMUM_CHARACTERS = 16_384;
