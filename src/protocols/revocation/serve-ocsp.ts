import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OcspAnswers } from '../../control/ca/ocsp-answers.ts';
import { MAXIMUM_OCSP_REQUEST } from '../../core/x509/ocsp-request.ts';
import { buildOcspError } from '../../core/x509/ocsp-response.ts';
import type { Clock } from '../../platform/clock/clock.ts';
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
  const body = method === 'POST' ? await readBody(request) : NOTHING;
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

/** Null if it is larger than any request; the rest is thrown away. */
function readBody(request: IncomingMessage): Promise<Uint8Array | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAXIMUM_OCSP_REQUEST) chunks.push(chunk);
    else chunks.length = 0;
  });
  request.on('end', () => resolve(size > MAXIMUM_OCSP_REQUEST ? null : chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
  request.on('error', reject);
  request.on('close', () => {
    if (!request.complete) reject(new Error('the client went away'));
  });
  return promise;
}

const NOTHING = new Uint8Array(0);
const INTERNAL_ERROR = buildOcspError('internalError');
