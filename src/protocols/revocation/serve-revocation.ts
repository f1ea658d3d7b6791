import type { IncomingMessage, ServerResponse } from 'node:http';
import { isCrlPath } from '../../control/ca/crl-path.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Queries } from '../../platform/db/database.ts';
import { answerCertificateList } from './certificate-list.ts';

/** Answers a request for a CRL on a plain HTTP listener; false, and nothing done, if the path is not one of ours. */
export async function serveRevocation(
  deps: { readonly queries: Queries; readonly clock: Clock },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const path = (request.url ?? '').split('?')[0]!;
  if (!isCrlPath(path)) return false;
  const answer = await answerCertificateList(
    deps,
    {
      method: request.method ?? '',
      path,
      ifNoneMatch: request.headers['if-none-match'] ?? null,
      ifModifiedSince: request.headers['if-modified-since'] ?? null,
    },
    deps.clock.now(),
  );
  response.writeHead(answer.status, answer.headers).end(answer.body ?? undefined);
  return true;
}
