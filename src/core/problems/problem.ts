import { type ProblemCode, problems } from './codes.ts';

/**
 * Broken input or a broken invariant, with a code that callers and documents can name.
 * Expected outcomes are returned values, not problems.
 */
export class Problem extends Error {
  readonly code: ProblemCode;

  /** The message reads `action: value, expectation` and holds no secret; a cause is for the log only. */
  constructor(code: ProblemCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'Problem';
    this.code = code;
  }

  /** The HTTP status that fits this problem (RFC 9110). */
  get status(): number {
    return problems[this.code].status;
  }
}
