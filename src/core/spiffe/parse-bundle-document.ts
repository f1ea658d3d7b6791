import { createPublicKey, type webcrypto } from 'node:crypto';
import { type TrustDomain, parseTrustDomain } from '../identity/trust-domain.ts';
import { Problem } from '../problems/problem.ts';
import { SECOND_MS } from '../time/instant.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import type { BundleDocument } from './bundle-document.ts';

/**
 * Reads the bundle of a trust domain. Entries of other uses and key types are passed over, as the standard asks; one that is for X.509 and is
 * not as it has to be makes the whole document worthless: half a bundle is another one than was published.
 * @throws input-invalid
 */
export function parseBundleDocument(text: string, trustDomain: TrustDomain): BundleDocument {
  if (text.length > MAXIMUM_CHARACTERS) throw invalid(`${text.length} characters`, `at most ${MAXIMUM_CHARACTERS}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Problem('input-invalid', 'Cannot read bundle: it is no JSON, expected a JWK Set', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('it is no object', 'a JWK Set');
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: hint } = value as { readonly [member: string]: unknown };
  if (!Array.isArray(keys)) throw invalid('it has no list of keys', 'one, which may be empty');
  if (keys.length > MAXIMUM_KEYS) throw invalid(`${keys.length} keys`, `at most ${MAXIMUM_KEYS}`);
  const authorities = keys.flatMap((key: unknown, index) => readAuthority(key, index, trustDomain));
  const bySpki = new Set(authorities.map(({ der }) => Buffer.from(der).toString('base64')));
  if (bySpki.size !== authorities.length) throw invalid('an authority stands in it twice', 'each once');
  const seconds = readCount('spiffe_refresh_hint', hint);
  return { sequence: readCount('spiffe_sequence', sequence), refreshHintMs: seconds === null ? null : seconds * SECOND_MS, authorities };
}

function readAuthority(entry: unknown, index: number, trustDomain: TrustDomain): readonly Certificate[] {
  if (typeof entry !== 'object' || entry === null) throw invalid(`entry ${index} is no object`, 'a JWK');
  const key = entry as { readonly [member: string]: unknown };
  if (key['use'] !== 'x509-svid' || !KEY_TYPES.has(String(key['kty']))) return [];
  // What has an id is found by it, which is how keys of tokens are chosen: none of X.509 may be taken for one.
  if (key['kid'] !== undefined) throw invalid(`entry ${index} is for x509-svid and has a kid`, 'none');
  const { x5c } = key;
  if (!Array.isArray(x5c) || x5c.length !== 1) {
    throw invalid(`entry ${index} has ${Array.isArray(x5c) ? x5c.length : 'no'} certificates`, 'exactly one in x5c');
  }
  const certificate = readCertificate(x5c[0], index);
  if (!isKeyOf(key, certificate)) throw invalid(`entry ${index} has another key than its certificate`, 'the same');
  if (!certificate.basicConstraints?.ca) throw invalid(`the certificate of entry ${index} is no authority's`, 'cA true');
  refuseOtherDomain(certificate, index, trustDomain);
  return [certificate];
}

function readCertificate(text: unknown, index: number): Certificate {
  if (typeof text !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text))
    throw invalid(`entry ${index} has no base64 in x5c`, 'DER in base64');
  try {
    return parseCertificate(Buffer.from(text, 'base64'));
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    throw new Problem('input-invalid', `Cannot read bundle: entry ${index} has no certificate in x5c, expected strict DER`, { cause });
  }
}

function isKeyOf(key: { readonly [member: string]: unknown }, { spki }: Certificate): boolean {
  try {
    return createPublicKey({ key: key as webcrypto.JsonWebKey, format: 'jwk' })
      .export({ type: 'spki', format: 'der' })
      .equals(spki);
  } catch {
    return false;
  }
}

/** X509-SVID section 3.2: an authority that has a SPIFFE ID has that of its trust domain, without a path. */
function refuseOtherDomain({ subjectAltNames }: Certificate, index: number, trustDomain: TrustDomain): void {
  const own = `spiffe://${parseTrustDomain(trustDomain)}`;
  const other = subjectAltNames.uri.find((uri) => /^spiffe:/i.test(uri) && uri !== own && uri !== `${own}/`);
  if (other !== undefined) throw invalid(`the authority of entry ${index} is ${JSON.stringify(other.slice(0, 200))}`, own);
}

function readCount(member: string, value: unknown): number | null {
  if (value === undefined) return null;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw invalid(`${member} is ${String(JSON.stringify(value)).slice(0, 60)}`, 'a whole number');
  return value as number;
}

function invalid(found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot read bundle: ${found}, expected ${expected}`);
}

/** Those that a certificate of X.509 can hold here. */
const KEY_TYPES: ReadonlySet<string> = new Set(['EC', 'RSA', 'OKP', 'AKP']);
/** A domain in the midst of a rollover has a handful; every data plane holds them. */
const MAXIMUM_KEYS = 100;
/** So many keys with a certificate of RSA 4096 each. */
export const MAXIMUM_CHARACTERS = 512 * 1024;
