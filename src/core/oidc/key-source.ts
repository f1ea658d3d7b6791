import { Problem } from '../problems/problem.ts';
import { canonicalJson } from '../merkle/canonical-json.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { decodePem } from '../x509/pem.ts';
import { createHash } from 'node:crypto';

/** Where an issuer publishes its keys (RFC 7517 section 5), and whom that server's certificate must chain to; null: the roots that come with Node. */
export type KeySource = { readonly uri: string; readonly anchorsPem: string | null };

/** Lower case hex: the same for equal sources. */
export type KeySourceDigest = string & { readonly brand?: 'KeySourceDigest' };

export function keySourceDigest({ uri, anchorsPem }: KeySource): KeySourceDigest {
  return createHash('sha256').update(canonicalJson({ uri, anchorsPem })).digest('hex');
}

/** True for an https URL without credentials, query and fragment. */
export function isKeyUri(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && url.protocol === 'https:' && url.username === '' && url.password === '' && url.hash === '' && url.search === '';
}

/** The certificates in one spelling; null if there is none or one does not parse. */
export function readAnchors(text: string): string | null {
  if (text.length > MAXIMUM_ANCHORS) return null;
  try {
    return decodePem(text, 'CERTIFICATE').map((der) => parseCertificate(der)).length > 0 ? `${text.trim()}\n` : null;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

const MAXIMUM_ANCHORS = 65_536;
