import { contextConstructed, type DerLimits, DerReader, malformed, readOctetAlignedBits, readSmallInteger, tags } from './der.ts';
import { constructed, encodeDer, explicit, octetString, sequence } from './der-writer.ts';
import { extensionNode } from './build-certificate.ts';
import { type Extension, readExtensions } from './extensions.ts';
import { readGeneralNames } from './general-name.ts';
import { type CertId, type CertIdHash, certIdNode, type IssuerHashes, readCertId } from './ocsp-cert-id.ts';
import { oids, readOid } from './oid.ts';

/** What a client asks (RFC 6960 section 4.1). A signature on it proves nothing that matters here and is not verified. */
export type OcspRequest = {
  readonly ids: readonly CertId[];
  /** RFC 9654: to be echoed, 1 to 128 octets. */
  readonly nonce: Uint8Array | null;
};

/** Parses a request strictly. @throws der-malformed, also for a critical extension that is not known, a nonce out of range, too many questions */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  const document = DerReader.over(der, requestLimits);
  const outer = document.enter(tags.sequence);
  document.finish();
  const body = outer.enter(tags.sequence);
  readSignature(outer.enterOptional(contextConstructed(0)));
  outer.finish();
  const version = body.enterOptional(contextConstructed(0));
  if (version !== null)
    throw malformed(readSmallInteger(version) === 0 ? 'default version is written out' : 'version of the request is not 1');
  const requestor = body.enterOptional(contextConstructed(1));
  if (requestor !== null) readGeneralNames(requestor);
  const list = body.enter(tags.sequence);
  const ids: CertId[] = [];
  while (!list.done) {
    if (ids.length === MAXIMUM_QUESTIONS) throw malformed(`more than ${MAXIMUM_QUESTIONS} questions`);
    ids.push(readQuestion(list));
  }
  if (ids.length === 0) throw malformed('a request without a question');
  const extensions = readWrappedExtensions(body.enterOptional(contextConstructed(2)));
  body.finish();
  return { ids, nonce: readRequestExtensions(extensions) };
}

/** Writes a request. */
export function buildOcspRequest(
  questions: readonly { readonly hash: CertIdHash; readonly issuer: IssuerHashes; readonly serial: Uint8Array }[],
  nonce: Uint8Array | null = null,
): Uint8Array {
  const list = sequence(...questions.map(({ hash, issuer, serial }) => sequence(certIdNode(hash, issuer, serial))));
  const wrapped =
    nonce === null ? [] : [explicit(2, constructed(tags.sequence, [extensionNode(oids.ocspNonce, false, octetString(nonce))]))];
  return encodeDer(sequence(sequence(list, ...wrapped)));
}

/** The value of a nonce extension (RFC 9654 section 2.1). @throws der-malformed unless 1 to 128 octets */
export function readNonce({ value }: Extension): Uint8Array {
  const reader = DerReader.over(value);
  const nonce = reader.content(tags.octetString);
  reader.finish();
  if (nonce.length < 1 || nonce.length > MAXIMUM_NONCE) throw malformed(`nonce of ${nonce.length} octets, expected 1 to ${MAXIMUM_NONCE}`);
  return nonce;
}

/** `[n] EXPLICIT Extensions`; none if absent. @throws der-malformed */
export function readWrappedExtensions(wrapped: DerReader | null): readonly Extension[] {
  if (wrapped === null) return [];
  const extensions = readExtensions(wrapped.enter(tags.sequence));
  wrapped.finish();
  return extensions;
}

function readQuestion(list: DerReader): CertId {
  const question = list.enter(tags.sequence);
  const id = readCertId(question);
  const extensions = readWrappedExtensions(question.enterOptional(contextConstructed(0)));
  question.finish();
  refuseCritical(extensions);
  return id;
}

function readRequestExtensions(extensions: readonly Extension[]): Uint8Array | null {
  let nonce: Uint8Array | null = null;
  for (const extension of extensions) {
    if (extension.oid === oids.ocspNonce) nonce = readNonce(extension);
    else if (extension.oid === oids.ocspAcceptableResponses) readAcceptableResponses(extension);
  }
  refuseCritical(extensions.filter(({ oid }) => oid !== oids.ocspNonce && oid !== oids.ocspAcceptableResponses));
  return nonce;
}

/** A client that does not take the basic response takes none of ours (RFC 6960 section 4.4.3). */
function readAcceptableResponses({ value }: Extension): void {
  const reader = DerReader.over(value);
  const list = reader.enter(tags.sequence);
  reader.finish();
  let basic = false;
  while (!list.done) basic = readOid(list) === oids.ocspBasic || basic;
  if (!basic) throw malformed('a request that takes no basic response');
}

function refuseCritical(extensions: readonly Extension[]): void {
  const critical = extensions.find((extension) => extension.critical);
  if (critical) throw malformed(`critical extension ${critical.oid} that is not known`);
}

/** `Signature ::= SEQUENCE { signatureAlgorithm, signature, certs [0] EXPLICIT OPTIONAL }`. */
function readSignature(wrapped: DerReader | null): void {
  if (wrapped === null) return;
  const body = wrapped.enter(tags.sequence);
  wrapped.finish();
  body.element(tags.sequence);
  readOctetAlignedBits(body);
  if (!body.done) body.element(contextConstructed(0));
  body.finish();
}

/** A batch as large as any client sends; each question costs one look-up. */
const MAXIMUM_QUESTIONS = 100;
/** RFC 9654 section 2.1. */
const MAXIMUM_NONCE = 128;
/** A signed batch with its chain. */
export const MAXIMUM_OCSP_REQUEST = 32_768;
const requestLimits: DerLimits = { maxOctets: MAXIMUM_OCSP_REQUEST, maxDepth: 12, maxElements: 2_000 };
