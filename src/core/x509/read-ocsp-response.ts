import type { Instant } from '../time/instant.ts';
import { type CrlReason, crlReasons } from './certificate-list.ts';
import {
  contextConstructed,
  contextPrimitive,
  type DerLimits,
  DerReader,
  equalOctets,
  malformed,
  readOctetAlignedBits,
  readSmallInteger,
  tags,
} from './der.ts';
import { type Extension } from './extensions.ts';
import { type CertId, readCertId } from './ocsp-cert-id.ts';
import { type OcspError, ocspErrors, type OcspStatus } from './ocsp-response.ts';
import { readNonce, readWrappedExtensions } from './ocsp-request.ts';
import { oids, readOid } from './oid.ts';
import { readAlgorithmIdentifier, type SignatureAlgorithm } from './signature-algorithm.ts';
import { readGeneralizedTime } from './x509-time.ts';

export type ReadOcspAnswer = {
  readonly id: CertId;
  readonly status: OcspStatus;
  readonly thisUpdate: Instant;
  readonly nextUpdate: Instant | null;
  readonly extensions: readonly Extension[];
};

/** The signed part: ResponseData (RFC 6960 section 4.2.1). */
export type TbsOcspResponse = {
  readonly tbs: Uint8Array;
  /** SHA-1 over the responder's key octets; null: it names itself by its subject. */
  readonly responderKeyHash: Uint8Array | null;
  readonly producedAt: Instant;
  readonly answers: readonly ReadOcspAnswer[];
  readonly nonce: Uint8Array | null;
  readonly extensions: readonly Extension[];
};

export type OcspResponse =
  | { readonly kind: 'error'; readonly error: OcspError }
  | (TbsOcspResponse & {
      readonly kind: 'answer';
      readonly signatureAlgorithm: SignatureAlgorithm | null;
      readonly signature: Uint8Array;
      /** DER of the certificates that came with it. */
      readonly certificates: readonly Uint8Array[];
    });

/** Parses a DER OCSPResponse strictly; nothing about it is verified. @throws der-malformed */
export function parseOcspResponse(der: Uint8Array): OcspResponse {
  const document = DerReader.over(der, responseLimits);
  const outer = document.enter(tags.sequence);
  document.finish();
  const status = readSmallInteger(outer, tags.enumerated);
  const wrapped = outer.enterOptional(contextConstructed(0));
  outer.finish();
  if (wrapped === null) return { kind: 'error', error: errorOf(status) };
  if (status !== 0) throw malformed('an error with an answer');
  const typed = wrapped.enter(tags.sequence);
  wrapped.finish();
  if (readOid(typed) !== oids.ocspBasic) throw malformed('response of another type than basic');
  const inner = typed.content(tags.octetString);
  typed.finish();
  return readBasic(DerReader.over(inner, responseLimits));
}

/** Parses a ResponseData that stands alone, as before signing. @throws der-malformed */
export function parseTbsOcspResponse(tbs: Uint8Array): TbsOcspResponse {
  const reader = DerReader.over(tbs, responseLimits);
  const fields = readTbs(reader);
  reader.finish();
  return fields;
}

function readBasic(reader: DerReader): OcspResponse {
  const body = reader.enter(tags.sequence);
  reader.finish();
  const fields = readTbs(body);
  const signatureAlgorithm = readAlgorithmIdentifier(body.element(tags.sequence));
  const signature = readOctetAlignedBits(body);
  const wrapped = body.enterOptional(contextConstructed(0));
  body.finish();
  const certificates: Uint8Array[] = [];
  if (wrapped !== null) {
    const list = wrapped.enter(tags.sequence);
    wrapped.finish();
    while (!list.done) certificates.push(list.element(tags.sequence));
  }
  return { kind: 'answer', ...fields, signatureAlgorithm, signature, certificates };
}

function readTbs(parent: DerReader): TbsOcspResponse {
  const start = parent.rest();
  const body = parent.enter(tags.sequence);
  const tbs = start.subarray(0, start.length - parent.rest().length);
  if (body.nextTag === contextConstructed(0)) throw malformed('version of the response is written out');
  const responderKeyHash = readResponder(body);
  const producedAt = readGeneralizedTime(body);
  const list = body.enter(tags.sequence);
  const answers: ReadOcspAnswer[] = [];
  while (!list.done) answers.push(readAnswer(list));
  const extensions = readWrappedExtensions(body.enterOptional(contextConstructed(1)));
  body.finish();
  const nonce = extensions.find(({ oid }) => oid === oids.ocspNonce);
  return { tbs, responderKeyHash, producedAt, answers, nonce: nonce ? readNonce(nonce) : null, extensions };
}

function readResponder(body: DerReader): Uint8Array | null {
  const byName = body.enterOptional(contextConstructed(1));
  if (byName !== null) {
    byName.element(tags.sequence);
    byName.finish();
    return null;
  }
  const byKey = body.enter(contextConstructed(2));
  const hash = byKey.content(tags.octetString);
  byKey.finish();
  if (hash.length !== 20) throw malformed(`key hash of ${hash.length} octets, expected 20`);
  return hash;
}

function readAnswer(list: DerReader): ReadOcspAnswer {
  const body = list.enter(tags.sequence);
  const id = readCertId(body);
  const status = readStatus(body);
  const thisUpdate = readGeneralizedTime(body);
  const next = body.enterOptional(contextConstructed(0));
  const nextUpdate = next === null ? null : readGeneralizedTime(next);
  next?.finish();
  const extensions = readWrappedExtensions(body.enterOptional(contextConstructed(1)));
  body.finish();
  return { id, status, thisUpdate, nextUpdate, extensions };
}

function readStatus(body: DerReader): OcspStatus {
  const revoked = body.enterOptional(contextConstructed(1));
  if (revoked === null) {
    const good = body.contentOptional(contextPrimitive(0));
    const content = good ?? body.content(contextPrimitive(2));
    if (!equalOctets(content, NOTHING)) throw malformed('a status with content');
    return { kind: good === null ? 'unknown' : 'good' };
  }
  const at = readGeneralizedTime(revoked);
  const wrapped = revoked.enterOptional(contextConstructed(0));
  const number = wrapped === null ? 0 : readSmallInteger(wrapped, tags.enumerated);
  wrapped?.finish();
  revoked.finish();
  const reason = reasonNames.get(number);
  if (reason === undefined) throw malformed(`revocation reason ${number}`);
  return { kind: 'revoked', at, reason };
}

function errorOf(status: number): OcspError {
  const found = Object.entries(ocspErrors).find(([, number]) => number === status);
  if (found === undefined) throw malformed(`response status ${status}`);
  return found[0] as OcspError;
}

const NOTHING = new Uint8Array(0);
const reasonNames = new Map(Object.entries(crlReasons).map(([name, number]) => [number as number, name as CrlReason]));
const responseLimits: DerLimits = { maxOctets: 131_072, maxDepth: 16, maxElements: 10_000 };
