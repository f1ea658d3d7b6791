import type { Instant } from '../time/instant.ts';
import { MINUTE_MS } from '../time/instant.ts';
import { type Certificate, certificateKey, parseCertificate } from './certificate.ts';
import { type CertificateList, isListSignedBy, type ListScope } from './certificate-list.ts';
import { equalOctets } from './der.ts';
import { issuerHashesOf, isOfIssuer } from './ocsp-cert-id.ts';
import { oids } from './oid.ts';
import { parseOcspResponse } from './read-ocsp-response.ts';
import { findEntry, isFresh } from './revocation-lists.ts';
import { verifySignature } from './signature-algorithm.ts';

/** What a list or a responder of its issuer says of a certificate; `unknown` with why it says nothing. */
export type CertificateStanding =
  /** `nextUpdate`: until when that was said; null: a responder that always knows better. */
  | { readonly kind: 'good'; readonly nextUpdate: Instant | null }
  | { readonly kind: 'revoked'; readonly at: Instant; readonly reason: string }
  | { readonly kind: 'unknown'; readonly detail: string };

type Subject = { readonly leaf: Certificate; readonly issuer: Certificate };

/** By one complete list that the issuer signed itself; of other lists nothing follows here. */
export function judgeByList(now: Instant, list: CertificateList, { leaf, issuer }: Subject): CertificateStanding {
  if (!isListSignedBy(list, issuer)) return unknown('the list is not signed by the issuer');
  if (list.unknownCritical.length > 0 || list.deltaBase !== null) return unknown('the list is a delta, or has a critical extension');
  if (now < list.thisUpdate - SKEW_MS || !isFresh(now, list.nextUpdate)) return unknown('the list is not of this time');
  if (!covers(list.scope, leaf)) return unknown('the list does not cover the certificate');
  const entry = findEntry(list, leaf);
  return entry === null ? { kind: 'good', nextUpdate: list.nextUpdate } : { kind: 'revoked', at: entry.revokedAt, reason: entry.reason };
}

/** RFC 5280 section 6.3.3 (b): a list that names a point is for the certificates that name it too. */
function covers(scope: ListScope | null, leaf: Certificate): boolean {
  if (scope === null) return true;
  if (scope.indirect || scope.onlyAuthorityCertificates || scope.onlyAttributeCertificates || scope.reasons !== null) return false;
  return scope.name === null || scope.uris.some((uri) => leaf.crlDistributionPoints.includes(uri));
}

/** By an OCSP response of the issuer or of a responder that it delegated (RFC 6960 sections 3.2 and 4.2.2.2). @throws der-malformed */
export function judgeByResponse(now: Instant, der: Uint8Array, { leaf, issuer }: Subject): CertificateStanding {
  const response = parseOcspResponse(der);
  if (response.kind === 'error') return unknown(`the responder answers ${response.error}`);
  const hashes = { sha1: issuerHashesOf(issuer, 'sha1'), sha256: issuerHashesOf(issuer, 'sha256') };
  const answer = response.answers.find(({ id }) => isOfIssuer(id, hashes) && equalOctets(id.serial, leaf.serial));
  if (answer === undefined) return unknown('the response is about another certificate');
  const signers = [issuer, ...response.certificates.slice(0, MAXIMUM_SIGNERS).flatMap((one) => delegated(now, one, issuer))];
  const { signatureAlgorithm: algorithm, tbs, signature } = response;
  if (algorithm === null || !signers.some((signer) => verifySignature(algorithm, certificateKey(signer), tbs, signature)))
    return unknown('the response is not signed by the issuer or its responder');
  if (now < answer.thisUpdate - SKEW_MS || (answer.nextUpdate !== null && !isFresh(now, answer.nextUpdate)))
    return unknown('the response is not of this time');
  const { status } = answer;
  if (status.kind === 'good') return { kind: 'good', nextUpdate: answer.nextUpdate };
  return status.kind === 'unknown' ? unknown('the responder does not know the certificate') : status;
}

function delegated(now: Instant, der: Uint8Array, issuer: Certificate): readonly Certificate[] {
  const signer = parseCertificate(der);
  const { notBefore, notAfter, extendedKeyUsage, signatureAlgorithm, tbs, signature } = signer;
  const fits = extendedKeyUsage?.includes(oids.ocspSigning) === true && notBefore <= now && now <= notAfter;
  if (!fits || signatureAlgorithm === null || !equalOctets(signer.issuer.der, issuer.subject.der)) return [];
  return verifySignature(signatureAlgorithm, certificateKey(issuer), tbs, signature) ? [signer] : [];
}

function unknown(detail: string): CertificateStanding {
  return { kind: 'unknown', detail };
}

/** As far as clocks of others may be ahead. */
const SKEW_MS = 5 * MINUTE_MS;
const MAXIMUM_SIGNERS = 5;
