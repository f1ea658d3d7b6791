import type { IncomingMessage, ServerResponse } from 'node:http';
import { findChallengeAnswer } from '../../control/external/order-store.ts';
import type { Queries } from '../../platform/db/database.ts';

/** Answers the http-01 of another CA that is asked for a certificate (RFC 8555 section 8.3). False: the request is for somebody else. */
export async function serveChallenge(
  { queries }: { readonly queries: Queries },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const path = request.url ?? '';
  if (!path.startsWith(PREFIX)) return false;
  const token = path.slice(PREFIX.length);
  // What is no token of ours asks nothing of the database.
  const known = request.method === 'GET' && /^[A-Za-z0-9_-]{22,200}$/.test(token);
  const answer = known ? await findChallengeAnswer(queries, token) : null;
  if (answer === null) response.writeHead(404).end();
  else response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' }).end(answer);
  return true;
}

const PREFIX = '/.well-known/acme-challenge/';
