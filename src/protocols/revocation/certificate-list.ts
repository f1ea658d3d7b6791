import { createHash } from 'node:crypto';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { parseCrlPath } from '../../control/ca/crl-path.ts';
import { findCrl, hasShard } from '../../control/ca/crl-store.ts';
import type { Queries } from '../../platform/db/database.ts';

/** What is asked for: the parts of the HTTP request that matter, undecoded. */
export type CrlRequest = {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  readonly ifNoneMatch: string | null;
  readonly ifModifiedSince: string | null;
};

export type CrlAnswer = {
  readonly status: 200 | 304 | 404 | 405;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
};

/** A current list of one authority, a shard or all, complete or delta (RFC 5280 section 5, served as RFC 5280 section 4.2.1.13 says and cached as RFC 9111 allows). */
export async function answerCertificateList(deps: { readonly queries: Queries }, request: CrlRequest, now: Instant): Promise<CrlAnswer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' }, body: null };
  const list = await findList(deps.queries, request.path);
  if (list === null) return { status: 404, headers: { 'cache-control': 'no-store' }, body: null };
  const { der, thisUpdate, nextUpdate } = list;
  const etag = `"${createHash('sha256').update(der).digest('base64url')}"`;
  const headers = {
    etag,
    // In its own second a list may still be followed by another, which this validator could not tell from it (RFC 9110 section 8.8.2.2).
    ...(now < thisUpdate + SECOND_MS ? {} : { 'last-modified': new Date(thisUpdate).toUTCString() }),
    'cache-control': `public, max-age=${maxAgeSeconds(nextUpdate, now)}, must-revalidate`,
  };
  if (isFresh(request, etag, thisUpdate)) return { status: 304, headers, body: null };
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'application/pkix-crl', 'content-length': String(der.length) },
    body: request.method === 'HEAD' ? null : der,
  };
}

type PublishedList = { readonly der: Uint8Array; readonly thisUpdate: Instant; readonly nextUpdate: Instant };

/** A path without a number names the only list of its authority, never one of several: it would not be all that it seems. */
async function findList(queries: Queries, path: string): Promise<PublishedList | null> {
  const name = parseCrlPath(path);
  if (name === null) return null;
  const { authorityId, shard, kind } = name;
  const isOnly = !(await hasShard(queries, authorityId, 1));
  if ((shard === null) !== isOnly) return null;
  const built = (await findCrl(queries, authorityId, shard ?? 0))?.built ?? null;
  if (built === null || kind === 'full') return built;
  return built.delta === null ? null : { ...built, der: built.delta };
}

/** A revocation makes a new list at once, so a cache asks again soon; never past nextUpdate. */
function maxAgeSeconds(nextUpdate: Instant, now: Instant): number {
  return Math.floor(Math.max(0, Math.min(MAXIMUM_AGE_MS, nextUpdate - now)) / SECOND_MS);
}

/** RFC 9110 section 13.2.2: If-Modified-Since counts only where If-None-Match is absent. */
function isFresh(request: CrlRequest, etag: string, lastModified: Instant): boolean {
  if (request.ifNoneMatch !== null) {
    const tags = request.ifNoneMatch
      .slice(0, MAXIMUM_HEADER)
      .split(',')
      .map((tag) => tag.trim().replace(/^W\//, ''));
    return tags.includes('*') || tags.includes(etag);
  }
  if (request.ifModifiedSince === null) return false;
  const since = Date.parse(request.ifModifiedSince.slice(0, MAXIMUM_HEADER));
  return Number.isFinite(since) && lastModified <= since;
}

const MAXIMUM_AGE_MS = 60 * SECOND_MS;
const MAXIMUM_HEADER = 4096;
