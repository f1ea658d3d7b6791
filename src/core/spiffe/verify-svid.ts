import { parseSpiffeId, type SpiffeId, trustDomainOf } from '../identity/spiffe-id.ts';
import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import { type PathUsage, type PathVerdict, verifyPath } from '../x509/verify-path.ts';

/** The authorities of one trust domain. */
export type SvidAuthorities = {
  readonly trustDomain: string;
  readonly anchors: readonly Certificate[];
  /** What may stand between although the peer did not send it. */
  readonly intermediates: readonly Certificate[];
};

/** Of each trust domain the authorities, apart: an identity is verified by those of its own and by no others. */
export type SvidTrust = {
  /** By whom what names no trust domain is judged, to say what is wrong with it. */
  readonly own: SvidAuthorities;
  readonly federated: ReadonlyMap<string, SvidAuthorities>;
};

export type SvidVerdict =
  /** `path` is leaf first, anchor last. */
  | { readonly kind: 'proved'; readonly spiffeId: SpiffeId; readonly path: readonly Certificate[] }
  | { readonly kind: 'unproved'; readonly reason: RefusalReason; readonly leaf: Certificate | null; readonly issuer: Certificate | null };

/**
 * Verifies an X509-SVID as its holder presented it (X509-SVID section 5): the authorities are those of the trust domain that its one SPIFFE ID
 * names, so no authority can speak for a domain that is not its own.
 */
export function verifySvid(
  now: Instant,
  trust: SvidTrust,
  { chain, usage }: { readonly chain: readonly Uint8Array[]; readonly usage: PathUsage },
): SvidVerdict {
  let certificates: Certificate[];
  try {
    certificates = chain.map((der) => parseCertificate(der));
  } catch {
    return { kind: 'unproved', reason: 'chain-invalid', leaf: null, issuer: null };
  }
  const [leaf, ...sent] = certificates;
  if (leaf === undefined) return { kind: 'unproved', reason: 'no-certificate', leaf: null, issuer: null };
  const spiffeId = spiffeIdOf(leaf);
  const under = ({ anchors, intermediates }: SvidAuthorities): PathVerdict =>
    verifyPath({ leaf, intermediates: [...sent, ...intermediates], anchors, usage, now });
  const named = spiffeId === null ? trust.own : authoritiesOf(trust, trustDomainOf(spiffeId));
  const verdict = named === null ? UNKNOWN : under(named);
  if (verdict.kind === 'valid' && spiffeId !== null) return { kind: 'proved', spiffeId, path: verdict.path };
  if (verdict.kind === 'valid') return { kind: 'unproved', reason: 'wrong-identity', leaf, issuer: verdict.path[1] ?? null };
  const others = [trust.own, ...trust.federated.values()].filter((other) => other !== named);
  const crossed = spiffeId !== null && verdict.reason === 'unknown-authority' && others.some((other) => under(other).kind === 'valid');
  return { kind: 'unproved', reason: crossed ? 'crossed-trust-domain' : verdict.reason, leaf, issuer: sent[0] ?? null };
}

function authoritiesOf({ own, federated }: SvidTrust, trustDomain: string): SvidAuthorities | null {
  return trustDomain === own.trustDomain ? own : (federated.get(trustDomain) ?? null);
}

/** X509-SVID sections 2 and 4.3: exactly one URI, and a key that signs no lists; that it signs no certificates, the path shows. */
function spiffeIdOf({ subjectAltNames, keyUsage }: Certificate): SpiffeId | null {
  const [uri] = subjectAltNames.uri;
  if (subjectAltNames.uri.length !== 1 || uri === undefined || keyUsage?.has('cRLSign') === true) return null;
  try {
    return parseSpiffeId(uri);
  } catch {
    return null;
  }
}

const UNKNOWN: PathVerdict = { kind: 'invalid', reason: 'unknown-authority', detail: 'no bundle of its trust domain' };
