import { Metadata, status } from '@grpc/grpc-js';
import { type ProblemCode, problems } from '../../core/problems/codes.ts';
import { Problem } from '../../core/problems/problem.ts';

/** How a problem travels: a gRPC status, and the code word in a trailer. */
export type WireProblem = { readonly code: status; readonly details: string; readonly metadata: Metadata };

/** The only place where an error becomes a gRPC status. What is no Problem tells the outside nothing. */
export function encodeProblem(error: unknown): WireProblem {
  const known = error instanceof Problem && error.code !== 'internal';
  const code: ProblemCode = known ? error.code : 'internal';
  const metadata = new Metadata();
  metadata.set(TRAILER, code);
  return { code: statusOf(code), details: printable(known ? error.message : problems.internal.meaning), metadata };
}

/** The problem that the other side told of, or one that says how the connection broke. */
export function decodeProblem(error: unknown): Problem {
  const { code, details, metadata } = error as Partial<WireProblem>;
  const word = metadata instanceof Metadata ? String(metadata.get(TRAILER)[0] ?? '') : '';
  if (Object.hasOwn(problems, word)) return new Problem(word as ProblemCode, printable(details ?? ''), { cause: error });
  const fallback = code === undefined ? undefined : codesOfStatus[code];
  const text = details ?? (error instanceof Error ? error.message : String(error));
  return new Problem(fallback ?? 'control-plane-unreachable', printable(text), { cause: error });
}

/** gRPC status details are percent-encoded by grpc-js; control characters and unbounded text have no place in them. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?').slice(0, MAXIMUM_DETAILS);
}

function statusOf(code: ProblemCode): status {
  return statusOfHttp[problems[code].status] ?? status.INTERNAL;
}

const statusOfHttp: { readonly [http: number]: status } = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  409: status.FAILED_PRECONDITION,
  413: status.RESOURCE_EXHAUSTED,
  429: status.RESOURCE_EXHAUSTED,
  503: status.UNAVAILABLE,
};

const codesOfStatus: { readonly [code: number]: ProblemCode } = {
  [status.INVALID_ARGUMENT]: 'input-invalid',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.NOT_FOUND]: 'not-found',
  [status.FAILED_PRECONDITION]: 'state-conflict',
  [status.RESOURCE_EXHAUSTED]: 'input-invalid',
  [status.UNIMPLEMENTED]: 'not-found',
  [status.INTERNAL]: 'internal',
};

const TRAILER = 'countersign-problem';
const MAXIMUM_DETAILS = 1024;
