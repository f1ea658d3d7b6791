import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { EstAnswer } from './answer.ts';

/** The one place where errors become EST's: a status, and a line for people (RFC 7030 section 4.2.3). What failed inside tells the outside nothing. */
export function toEstAnswer(error: unknown): EstAnswer {
  if (!isOurs(error)) return textAnswer(500, 'Cannot answer: something failed inside');
  const reasons = error instanceof IssuanceRefused ? error.reasons.map((reason) => `\n${reason}`).join('') : '';
  return textAnswer(error.status, `${error.message}${reasons}`, headersOf(error));
}

/** True of what a client may be told; the log holds everything else. */
export function isOurs(error: unknown): error is Problem {
  return error instanceof Problem && error.status < 500;
}

export function textAnswer(status: number, text: string, headers: EstAnswer['headers'] = {}): EstAnswer {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers }, body: `${text}\n` };
}

function headersOf({ status, code }: Problem): EstAnswer['headers'] {
  if (status === 401) return { 'www-authenticate': 'Basic realm="countersign", charset="UTF-8"', connection: 'close' };
  if (code === 'body-too-large') return { connection: 'close' };
  return status === 429 ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {};
}

/** Where too much waits: persons have to look first. */
const RETRY_AFTER_SECONDS = 600;
