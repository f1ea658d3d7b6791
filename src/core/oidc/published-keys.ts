import { Problem } from '../problems/problem.ts';
import { type DeclaredKey, parseDeclaredKey } from './token-key.ts';

/**
 * The keys of a JWK Set (RFC 7517 section 5) that tokens can be signed with. Those of other uses, kinds and sizes are passed over, as the RFC
 * asks; an RSA key that names no algorithm is for RS256, which every OpenID provider has (OpenID Connect Core 1.0 section 15.1).
 * @throws input-invalid for what is no JWK Set, is too long or has no usable key
 */
export function readPublishedKeys(value: unknown): readonly DeclaredKey[] {
  const keys = typeof value === 'object' && value !== null ? (value as { readonly keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys) || keys.length > MAXIMUM_PUBLISHED) throw invalid(`no list of at most ${MAXIMUM_PUBLISHED} keys`);
  const usable = keys.map((key: unknown) => readKey(key)).filter((key) => key !== null);
  if (usable.length === 0) throw invalid(`no usable key among ${keys.length}`);
  if (usable.length > MAXIMUM_USED) throw invalid(`${usable.length} usable keys, at most ${MAXIMUM_USED}`);
  return usable;
}

function readKey(key: unknown): DeclaredKey | null {
  if (typeof key !== 'object' || key === null) return null;
  const { use, kty, key_ops: operations } = key as { readonly [member: string]: unknown };
  if (use !== undefined && use !== 'sig') return null;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null;
  try {
    return parseDeclaredKey(kty === 'RSA' ? { alg: 'RS256', ...key } : key);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

function invalid(found: string): Problem {
  return new Problem('input-invalid', `Cannot read published keys: ${found}, expected a JWK Set with keys that verify`);
}

/** The great issuers publish up to a dozen. */
const MAXIMUM_PUBLISHED = 100;
/** A rotation needs two or three; every data plane holds them. */
const MAXIMUM_USED = 20;
