import { Problem } from '../../core/problems/problem.ts';

/** Policy said no. Every reason is listed, so that the asker can put all right at once. */
export class IssuanceRefused extends Problem {
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super('issuance-refused', `Cannot issue certificate: ${reasons.join('; ')}`);
    this.name = 'IssuanceRefused';
    this.reasons = reasons;
  }
}
