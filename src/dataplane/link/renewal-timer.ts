import type { CertificateCadence } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import { backoffMs } from './backoff.ts';
import { type CurrentCertificate, renewalDueAt } from './renewal-schedule.ts';

export type RenewalTimerOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly certificate: () => CurrentCertificate;
  /** Without a connection there is nothing to ask; `schedule` is to be called when there is one. */
  readonly isConnected: () => boolean;
  readonly renew: () => Promise<void>;
};

/** Asks for a renewal when one is due, and again after a pause if it failed. */
export class RenewalTimer {
  readonly #options: RenewalTimerOptions;
  #cadence: CertificateCadence | null;
  #heardAt: Instant;
  /** This data plane's place in the smear of a renewal, drawn once for each epoch. */
  #share: number;
  #timer: NodeJS.Timeout | null = null;
  #failures = 0;
  #retryAt: Instant = 0;
  #isStopped = false;

  constructor(options: RenewalTimerOptions, cadence: CertificateCadence | null) {
    this.#options = options;
    this.#cadence = cadence;
    this.#heardAt = options.clock.now();
    this.#share = options.random();
  }

  get epoch(): bigint | null {
    return this.#cadence?.renewalEpoch ?? null;
  }

  /** Takes over what the settings say. */
  heard(cadence: CertificateCadence): void {
    if (cadence.renewalEpoch !== this.epoch) {
      this.#heardAt = this.#options.clock.now();
      this.#share = this.#options.random();
      this.#retryAt = 0;
    }
    this.#cadence = cadence;
    this.schedule();
  }

  /** Looks at the clock at least every half minute: a machine that slept, or whose clock was set, renews late by no more than that. */
  schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#isStopped) return;
    const wait = Math.min(MAXIMUM_TIMER_MS, Math.max(0, this.#dueAt() - this.#options.clock.now()));
    this.#timer = setTimeout(() => this.#renewIfDue(), wait).unref();
  }

  /** A renewal went through, whoever asked for it. */
  succeeded(): void {
    this.#failures = 0;
    this.#retryAt = 0;
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #dueAt(): Instant {
    return Math.max(this.#retryAt, renewalDueAt(this.#options.certificate(), this.#cadence, this.#heardAt, this.#share));
  }

  #renewIfDue(): void {
    const { clock, random, log, isConnected, renew } = this.#options;
    if (clock.now() < this.#dueAt()) return this.schedule();
    if (!isConnected()) return;
    renew().catch((error: unknown) => {
      this.#retryAt = clock.now() + backoffMs(this.#failures++, random(), RETRY);
      log('warn', 'link.renewal-failed', { error });
      this.schedule();
    });
  }
}

const RETRY = { firstMs: 500, mostMs: 60_000 };
const MAXIMUM_TIMER_MS = 30_000;
