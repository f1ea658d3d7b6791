import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { AnswerRules } from '../tls/answer-rules.ts';

export type RefusalOptions = {
  readonly closes: boolean;
  /** Said to our own service only. */
  readonly failure: RefusalReason | null;
  readonly rules: AnswerRules | null;
  /** Of WWW-Authenticate. */
  readonly challenge: string | null;
};

/** A whole answer of the proxy itself, without a body. */
export function refusalOctets(status: number, { closes, failure, rules, challenge }: RefusalOptions): Buffer {
  const why = failure === null ? '' : `Countersign-Failure: ${failure}\r\n`;
  const asked = challenge === null ? '' : `WWW-Authenticate: ${challenge}\r\n`;
  // Every bucket has a call again by then.
  const later = status === 429 ? 'Retry-After: 1\r\n' : '';
  const end = `${later}Content-Length: 0\r\nConnection: ${closes ? 'close' : 'keep-alive'}\r\n\r\n`;
  return Buffer.from(`HTTP/1.1 ${status} ${phrases[status]}\r\n${why}${asked}${rules?.lines.toString('latin1') ?? ''}${end}`, 'latin1');
}

const phrases: { readonly [status: number]: string } = {
  400: 'Bad Request',
  403: 'Forbidden',
  408: 'Request Timeout',
  401: 'Unauthorized',
  429: 'Too Many Requests',
  421: 'Misdirected Request',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};
