import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import type { PkiFailure } from '../../core/cmp/pki-status.ts';
import { Problem } from '../../core/problems/problem.ts';

/** What CMP refuses. The outside sees the failure (RFC 9810 section 5.2.3) alone; the message is for the log. */
export class CmpProblem extends Error {
  readonly failure: PkiFailure;

  constructor(failure: PkiFailure, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'CmpProblem';
    this.failure = failure;
  }
}

/** The one place where errors become CMP's. What failed inside tells the outside nothing. */
export function toCmpProblem(error: unknown): CmpProblem {
  if (error instanceof CmpProblem) return error;
  if (error instanceof IssuanceRefused) return new CmpProblem(failureOf(error.reasons), error.message, { cause: error });
  if (!(error instanceof Problem) || error.status >= 500) {
    return new CmpProblem('systemFailure', 'Cannot answer: something failed inside', { cause: error });
  }
  return new CmpProblem(failures[error.code] ?? 'badRequest', error.message, { cause: error });
}

/** The first word of a reason is the rule that it breaks; where all are of one kind the sender is told of which. */
function failureOf(reasons: readonly string[]): PkiFailure {
  const about = (...words: readonly string[]): boolean => reasons.every((reason) => words.some((word) => reason.startsWith(word)));
  if (about('key:', 'names:', 'lifetime:')) return 'badCertTemplate';
  return about('certificate ') ? 'certRevoked' : 'notAuthorized';
}

const failures: { readonly [code: string]: PkiFailure | undefined } = {
  'csr-malformed': 'badPOP',
  'der-malformed': 'badDataFormat',
  'identity-malformed': 'badCertTemplate',
  'not-found': 'badCertId',
  'rate-limited': 'systemUnavail',
  'state-conflict': 'systemUnavail',
  forbidden: 'notAuthorized',
  unauthenticated: 'notAuthorized',
};
