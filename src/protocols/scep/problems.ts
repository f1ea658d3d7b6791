import type { ProblemCode } from '../../core/problems/codes.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { FailInfo } from './cert-rep.ts';

/** A refusal in the words of SCEP. The client hears the word, the log the reason. */
export class ScepRefusal extends Error {
  readonly failInfo: FailInfo;
  readonly reason: string;

  constructor(failInfo: FailInfo, reason: string) {
    super(`refused: ${failInfo}`);
    this.name = 'ScepRefusal';
    this.failInfo = failInfo;
    this.reason = reason;
  }
}

/** The one place where errors become SCEP's. Null: something failed inside, which is no answer. */
export function toRefusal(
  error: unknown,
): { readonly failInfo: FailInfo; readonly reason: string; readonly code: ProblemCode | null } | null {
  if (error instanceof ScepRefusal) return { failInfo: error.failInfo, reason: error.reason, code: null };
  if (!(error instanceof Problem) || error.status >= 500) return null;
  return { failInfo: 'badRequest', reason: error.message, code: error.code };
}
