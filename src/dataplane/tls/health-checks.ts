import type { Address } from './address.ts';
import { checkHealth } from './check-health.ts';
import type { Dialer } from './dial.ts';
import type { HealthCheckSettings } from './replica-settings.ts';

export type HealthChecksOptions = {
  readonly addresses: readonly Address[];
  readonly settings: HealthCheckSettings;
  /** As for calls: TLS, and the proof of the server. */
  readonly dial: Dialer;
  readonly host: string;
  readonly onChecked: (index: number, isWell: boolean) => void;
};

/**
 * Asks every replica for itself, again and again, one question at a time. Each is asked over a new connection, because that one
 * can still be had is half of the answer; after the first time that is a resumed session.
 */
export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #stopped = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(options: HealthChecksOptions) {
    this.#options = options;
    const { addresses, settings } = options;
    // Spread from the start, so that the callers of an endpoint do not ask it all at once.
    for (const index of addresses.keys()) this.#askAfter(index, Math.random() * Math.min(settings.intervalMs, FIRST_WITHIN_MS));
  }

  stop(): void {
    this.#stopped.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #askAfter(index: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#ask(index);
    }, delayMs).unref();
    this.#timers.add(timer);
  }

  async #ask(index: number): Promise<void> {
    const { settings, onChecked } = this.#options;
    const isWell = await this.#check(index);
    if (this.#stopped.signal.aborted) return;
    onChecked(index, isWell);
    this.#askAfter(index, settings.intervalMs * (0.9 + Math.random() / 5));
  }

  async #check(index: number): Promise<boolean> {
    const { addresses, settings, dial, host } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), settings.timeoutMs).unref();
    const signal = AbortSignal.any([this.#stopped.signal, late.signal]);
    try {
      return await checkHealth(await dial(addresses[index]!, signal), settings.question, { host, signal });
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Whoever starts beside a sick replica should know it soon. */
const FIRST_WITHIN_MS = 1_000;
