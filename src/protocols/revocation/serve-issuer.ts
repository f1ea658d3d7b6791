import type { IncomingMessage, ServerResponse } from 'node:http';
import { findAuthority } from '../../control/ca/authority-store.ts';
import { parseIssuerPath } from '../../control/ca/crl-path.ts';
import type { Queries } from '../../platform/db/database.ts';

/** Answers with an authority's certificate, DER (RFC 2585 section 3); false, and nothing done, if the path names none. */
export async function serveIssuer(
  { queries }: { readonly queries: Queries },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const id = parseIssuerPath((request.url ?? '').split('?')[0]!);
  if (id === null) return false;
  if (request.method !== 'GET' && request.method !== 'HEAD') return (response.writeHead(405, { allow: 'GET, HEAD' }).end(), true);
  const authority = await findAuthority(queries, id);
  if (authority === null) return (response.writeHead(404, { 'cache-control': 'no-store' }).end(), true);
  const { certificate } = authority;
  const headers = { 'content-type': 'application/pkix-cert', 'content-length': String(certificate.length), 'cache-control': CACHING };
  response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : certificate);
  return true;
}

/** What an id names never changes. */
const CACHING = 'public, max-age=86400, immutable';
