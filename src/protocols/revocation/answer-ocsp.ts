import type { OcspAnswers, OcspReply } from '../../control/ca/ocsp-answers.ts';
import { OCSP_PATH } from '../../control/ca/crl-path.ts';
import type { SignedOcspAnswer } from '../../control/ca/sign-ocsp-answer.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { MAXIMUM_OCSP_REQUEST, parseOcspRequest } from '../../core/x509/ocsp-request.ts';
import { buildOcspError, type OcspError } from '../../core/x509/ocsp-response.ts';

/** What is asked: the parts of the HTTP request that matter. */
export type OcspQuestion = {
  readonly method: string;
  /** The path without the query, undecoded. */
  readonly path: string;
  readonly contentType: string | null;
  readonly ifNoneMatch: string | null;
  /** Null: it was larger than any request. */
  readonly body: Uint8Array | null;
};

export type HttpAnswer = {
  readonly status: 200 | 304 | 404 | 405 | 415;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Uint8Array | null;
};

/** True if the path is for OCSP. */
export function isOcspPath(path: string): boolean {
  return path === OCSP_PATH || path.startsWith(GET_PREFIX);
}

/** Answers over HTTP as RFC 6960 appendix A and RFC 9919 section 5 and 6 say. Errors of OCSP are answers of HTTP. */
export async function answerOcsp(answers: OcspAnswers, question: OcspQuestion, now: Instant): Promise<HttpAnswer> {
  const { method } = question;
  if (method !== 'GET' && method !== 'POST') return { status: 405, headers: { allow: 'GET, POST' }, body: null };
  if (method === 'POST' && question.path !== OCSP_PATH) return { status: 404, headers: {}, body: null };
  if (method === 'POST' && mediaTypeOf(question.contentType) !== 'application/ocsp-request')
    return { status: 415, headers: {}, body: null };
  const der = method === 'POST' ? question.body : decodePath(question.path);
  const reply = der === null ? MALFORMED : await ask(answers, der, now);
  if (reply.kind === 'error') return uncached(errors[reply.error]);
  if (method === 'POST' || !reply.kept) return uncached(reply.answer.der);
  return cacheable(reply.answer, question.ifNoneMatch, now);
}

async function ask(answers: OcspAnswers, der: Uint8Array, now: Instant): Promise<OcspReply> {
  try {
    return await answers.answer(parseOcspRequest(der), now);
  } catch (error) {
    if (error instanceof Problem && error.code === 'der-malformed') return MALFORMED;
    throw error;
  }
}

/** RFC 9919 section 6: validators and lifetimes that agree with the signed ones, and a shorter life in caches than the answer has. */
function cacheable({ der, thisUpdate, nextUpdate, sha256 }: SignedOcspAnswer, ifNoneMatch: string | null, now: Instant): HttpAnswer {
  const etag = `"${sha256}"`;
  const maxAge = Math.floor(Math.max(0, Math.min(MAXIMUM_AGE_MS, nextUpdate - now)) / SECOND_MS);
  const headers = {
    etag,
    'last-modified': httpDate(thisUpdate),
    expires: httpDate(nextUpdate),
    'cache-control': `max-age=${maxAge}, public, no-transform, must-revalidate`,
  };
  if (
    ifNoneMatch !== null &&
    ifNoneMatch
      .slice(0, MAXIMUM_HEADER)
      .split(',')
      .some((tag) => tag.trim().replace(/^W\//, '') === etag)
  ) {
    return { status: 304, headers, body: null };
  }
  return { status: 200, headers: { 'content-type': MEDIA_TYPE, 'content-length': der.length, ...headers }, body: der };
}

function uncached(der: Uint8Array): HttpAnswer {
  return { status: 200, headers: { 'content-type': MEDIA_TYPE, 'content-length': der.length, 'cache-control': 'no-store' }, body: der };
}

/** `{url}/{url-encoding of base-64 encoding of the DER}` (RFC 6960 appendix A.1); null if it is none. */
function decodePath(path: string): Uint8Array | null {
  if (path.length <= GET_PREFIX.length || path.length > MAXIMUM_PATH) return null;
  const encoded = path.slice(GET_PREFIX.length);
  const text = encoded.includes('%') ? decodePercent(encoded) : encoded;
  if (text === null || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null;
  return new Uint8Array(Buffer.from(text, 'base64'));
}

function decodePercent(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Instants of answers are whole seconds and few: most repeat the one before. */
function httpDate(instant: Instant): string {
  const kept = dates.get(instant);
  if (kept !== undefined) return kept;
  if (dates.size >= MAXIMUM_DATES) dates.clear();
  const text = new Date(instant).toUTCString();
  dates.set(instant, text);
  return text;
}

function mediaTypeOf(contentType: string | null): string {
  return (contentType ?? '').split(';')[0]!.trim().toLowerCase();
}

const MEDIA_TYPE = 'application/ocsp-response';
const GET_PREFIX = `${OCSP_PATH}/`;
const MALFORMED = { kind: 'error', error: 'malformedRequest' } as const;
const errors: { readonly [E in OcspError]: Uint8Array } = {
  malformedRequest: buildOcspError('malformedRequest'),
  internalError: buildOcspError('internalError'),
  tryLater: buildOcspError('tryLater'),
  sigRequired: buildOcspError('sigRequired'),
  unauthorized: buildOcspError('unauthorized'),
};
/** A revocation is true at once, so a cache asks again soon. */
const MAXIMUM_AGE_MS = 60 * SECOND_MS;
const MAXIMUM_HEADER = 4_096;
const MAXIMUM_PATH = 2 * MAXIMUM_OCSP_REQUEST;
const dates = new Map<Instant, string>();
const MAXIMUM_DATES = 1_000;
