import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import { type ProblemCode, problems } from '../../core/problems/codes.ts';
import { Problem } from '../../core/problems/problem.ts';

/** An error as the outside sees it (RFC 9457). */
export type ProblemAnswer = {
  readonly status: number;
  readonly body: {
    readonly type: string;
    readonly title: string;
    readonly status: number;
    readonly code: ProblemCode;
    readonly detail: string;
    readonly reasons?: readonly string[];
    readonly requestId: string;
  };
};

/** The one place where errors become HTTP. Whatever is not ours, or failed inside, tells the outside nothing but its request id. */
export function toProblemAnswer(error: unknown, requestId: string): ProblemAnswer {
  const { code, detail } = describe(error);
  const { status, meaning } = problems[code];
  const reasons = error instanceof IssuanceRefused ? { reasons: error.reasons } : {};
  return {
    status,
    body: { type: `urn:countersign:problem:${code}`, title: meaning, status, code, detail, ...reasons, requestId },
  };
}

/** True if the log should hold the error itself: its answer does not. */
export function isInternal(error: unknown): boolean {
  return describe(error).code === 'internal';
}

function describe(error: unknown): { readonly code: ProblemCode; readonly detail: string } {
  if (error instanceof Problem) return error.status < 500 ? { code: error.code, detail: error.message } : internal;
  const { code, statusCode, validation, validationContext } = error as FastifyFault;
  if (validation !== undefined) {
    const [first] = validation;
    const place = `${validationContext ?? 'request'}${first?.instancePath ?? ''}`;
    return { code: 'input-invalid', detail: `Cannot read request: ${place} ${first?.message ?? 'is not as documented'}${extraOf(first)}` };
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return { code: 'body-too-large', detail: 'Cannot read request: the body is larger than this route takes' };
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return { code: 'media-type-unsupported', detail: 'Cannot read request: the body is not application/json' };
  }
  if (statusCode === 400)
    return { code: 'input-invalid', detail: `Cannot read request: ${knownBodyFaults[code ?? ''] ?? 'the body is not JSON'}` };
  return internal;
}

function extraOf(fault: ValidationFault | undefined): string {
  const extra = fault?.params?.['additionalProperty'];
  return typeof extra === 'string' ? `: ${JSON.stringify(extra.slice(0, 60))}` : '';
}

type ValidationFault = { readonly instancePath: string; readonly message?: string; readonly params?: { readonly [name: string]: unknown } };
type FastifyFault = {
  readonly code?: string;
  readonly statusCode?: number;
  readonly validation?: readonly ValidationFault[];
  readonly validationContext?: string;
};

const internal = {
  code: 'internal',
  detail: 'Cannot answer: something failed inside; the log has the reason under this request id',
} as const;
const knownBodyFaults: { readonly [code: string]: string } = {
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty, expected JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body is not as long as its Content-Length says',
};
