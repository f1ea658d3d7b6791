import type { Instant } from '../../core/time/instant.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import type { Counters } from '../tls/counters.ts';
import type { ProxyPorts } from '../tls/proxy-settings.ts';
import type { AdminClient } from './admin-client.ts';
import type { ConnectionBook } from './connection-book.ts';
import { LogLedger } from './log-ledger.ts';
import { readGauges } from './read-gauges.ts';
import { ReportWindows } from './report-windows.ts';
import { UntoldConnections } from './untold-connections.ts';

export type EnvoyReportsOptions = {
  readonly admin: AdminClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: () => ProxyPorts | null;
  readonly widthMs: () => number;
  /** What Envoy runs; 0 while that is not known. */
  readonly generation: () => bigint;
};

/** What is reported of an Envoy, window by window: each when all of it is known, or when some of it is known to be lost. */
export class EnvoyReports {
  readonly ledger: LogLedger;
  readonly #options: EnvoyReportsOptions;
  readonly #windows: ReportWindows;
  readonly #untold: UntoldConnections;
  /** Entries, until there are settings under which they count. */
  #lost = 0;

  constructor(options: EnvoyReportsOptions) {
    this.#options = options;
    this.ledger = new LogLedger(options);
    this.#windows = new ReportWindows(options.clock.now(), options.widthMs);
    this.#untold = new UntoldConnections(options);
  }

  /** Where something counts that happened then. */
  at(instant: Instant): Counters {
    return this.#windows.at(instant);
  }

  /** The next window that is over; `isLast`: all that there is. `open` null: Envoy does not answer. */
  async take(
    book: ConnectionBook,
    isLast: boolean,
  ): Promise<
    Pick<TelemetryContent, 'windowStartMs' | 'windowEndMs' | 'counts' | 'refusals'> & { readonly open: TelemetryContent['open'] | null }
  > {
    const { admin, clock, settings, generation: current } = this.#options;
    const now = clock.now();
    const until = isLast ? now : this.#windows.dueAt(now);
    const open = await readGauges(admin, book, settings());
    this.#lost += await this.ledger.settle();
    const generation = current();
    if (generation !== 0n) {
      const untold = { counters: this.#windows.at(until - 1), generation };
      await this.#untold.countBefore(untold);
      if (this.#lost > 0) await this.#untold.countLost(this.#lost, untold);
      this.#lost = 0;
    }
    const { start, end, counted } = this.#windows.take(until);
    return { windowStartMs: BigInt(start), windowEndMs: BigInt(end), ...counted, open };
  }
}
