import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import type { BodyKind } from '../../core/cmp/pki-message.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CmpDeps } from './deps.ts';
import type { CmpProblem } from './problems.ts';
import type { Sender } from './sender.ts';

/** Puts a refusal into the audit log, counted with others of its kind. What the evaluator refused has its own entry, what failed inside is nobody's refusal. */
export async function logRefusal(
  { refusals, log }: Pick<CmpDeps, 'refusals' | 'log'>,
  { body, problem, sender }: { readonly body: BodyKind; readonly problem: CmpProblem; readonly sender: Sender | null },
  now: Instant,
): Promise<void> {
  if (problem.failure === 'systemFailure' || problem.cause instanceof IssuanceRefused) return;
  await refusals
    .record({ route: `cmp ${body}`, code: sender === null ? 'unauthenticated' : 'forbidden', principal: null }, now)
    .catch((err: unknown) => void log('error', 'refusal could not be logged', { err }));
}
