import { Problem } from '../problems/problem.ts';

/** A SPIFFE trust domain: lower case letters, digits, `.`, `-`, `_`, at most 255 octets (SPIFFE-ID section 2.1). */
export type TrustDomain = string & { readonly brand: 'TrustDomain' };

/** @throws identity-malformed */
export function parseTrustDomain(text: string): TrustDomain {
  if (!PATTERN.test(text))
    throw new Problem(
      'identity-malformed',
      `Cannot parse trust domain: ${JSON.stringify(text.slice(0, 300))}, expected 1 to 255 of [a-z0-9._-]`,
    );
  return text as TrustDomain;
}

const PATTERN = /^[a-z0-9._-]{1,255}$/;
