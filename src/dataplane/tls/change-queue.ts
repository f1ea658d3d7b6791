import { Problem } from '../../core/problems/problem.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Acknowledgement } from '../link/link-handlers.ts';

/** Changes of what is in force, one after another. */
export class ChangeQueue {
  readonly #log: Log;
  #last: Promise<unknown> = Promise.resolve();

  constructor(log: Log) {
    this.#log = log;
  }

  /** The reason of a refusal goes to the control plane; what failed inside stays in the log. */
  async change(change: () => Promise<Acknowledgement>): Promise<Acknowledgement> {
    try {
      return await this.inOrder(change);
    } catch (error) {
      this.#log('error', 'change refused', { error });
      return { kind: 'refused', reason: error instanceof Problem ? error.message : 'it failed inside; the log has the reason' };
    }
  }

  inOrder<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change);
    this.#last = result.catch(() => {});
    return result;
  }
}
