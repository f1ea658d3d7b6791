import type { Log } from '../../platform/log/logger.ts';
import { backoffMs } from './backoff.ts';

/**
 * Keeps what is in force on disk. A disk that is full holds up no revocation: what cannot be written now is in force all the same,
 * is logged, and is tried again until it is written or something newer of its kind is.
 */
export class StateSaver {
  readonly #log: Log;
  readonly #latest = new Map<string, () => Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Resolves when it is written, or could not be written at first. */
  async save(kind: string, write: () => Promise<void>): Promise<void> {
    this.#latest.set(kind, write);
    await this.#attempt(kind, write, 0);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #attempt(kind: string, write: () => Promise<void>, failures: number): Promise<void> {
    if (this.#latest.get(kind) !== write) return;
    try {
      await write();
      if (failures > 0) this.#log('info', 'link.state-saved', { kind, failures });
    } catch (error) {
      this.#log('error', 'link.state-not-saved', { kind, failures: failures + 1, error });
      const timer = setTimeout(
        () => {
          this.#timers.delete(timer);
          void this.#attempt(kind, write, failures + 1);
        },
        backoffMs(failures, 1, RETRY),
      ).unref();
      this.#timers.add(timer);
    }
  }
}

const RETRY = { firstMs: 250, mostMs: 30_000 };
