import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OcspAnswers } from '../../control/ca/ocsp-answers.ts';
import { MAXIMUM_OCSP_REQUEST } from '../../core/x509/ocsp-request.ts';
import { buildOcspError } from '../../core/x509/ocsp-response.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { readRequestBody } from '../../platform/network/read-request-body.ts';
import { answerOcsp, isOcspPath } from './answer-ocsp.ts';

/** Answers OCSP on a plain HTTP listener; false, and nothing read or done, if the path is not one of ours. */
export async function serveOcsp(
  deps: { readonly ocsp: OcspAnswers; readonly clock: Clock },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const { url = '', method = '', headers } = request;
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  if (!isOcspPath(path)) return false;
  const body = method === 'POST' ? await readRequestBody(request, MAXIMUM_OCSP_REQUEST) : NOTHING;
  const question = { method, path, body, contentType: headers['content-type'] ?? null, ifNoneMatch: headers['if-none-match'] ?? null };
  try {
    const answer = await answerOcsp(deps.ocsp, question, deps.clock.now());
    response.writeHead(answer.status, answer.headers);
    // As text of one octet a character it goes out with the head in one write; octets would be a second one.
    if (answer.body === null) response.end();
    else response.end(Buffer.from(answer.body.buffer, answer.body.byteOffset, answer.body.length).toString('latin1'), 'latin1');
  } catch (error) {
    // RFC 6960 section 2.3: the responder says itself that it failed; the log says why.
    response.writeHead(200, { 'content-type': 'application/ocsp-response', 'cache-control': 'no-store' }).end(INTERNAL_ERROR);
    throw error;
  }
  return true;
}

const NOTHING = new Uint8Array(0);
const INTERNAL_ERROR = buildOcspError('internalError');
