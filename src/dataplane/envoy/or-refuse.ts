import { Problem } from '../../core/problems/problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Acknowledgement } from '../link/link-handlers.ts';

/** A change that throws is refused; what went wrong inside is for the log alone. */
export async function orRefuse(log: Log, change: () => Promise<Acknowledgement>): Promise<Acknowledgement> {
  try {
    return await change();
  } catch (error) {
    log('error', 'change refused', { error });
    return { kind: 'refused', reason: error instanceof Problem ? error.message : 'it failed inside; the log has the reason' };
  }
}
