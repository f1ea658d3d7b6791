import type { Signal } from '../platform/clock/signal.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';

export type Reconciler = {
  readonly name: string;
  /** Reads all state anew and does what is due; safe to call at any time. */
  readonly run: () => Promise<unknown>;
  /** What wakes it besides the timer. */
  readonly wakes: readonly Signal[];
  readonly intervalMs: number;
};

/** Runs a reconciler at each wake and by timer, never twice at a time; a wake during a run makes one more run. Ends after the run under way. */
export function runReconciler(
  { name, run, wakes, intervalMs }: Reconciler,
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
): AsyncDisposable {
  let due = false;
  const stopping = new AbortController();
  let running: Promise<void> | null = null;
  const work = async (): Promise<void> => {
    while (due && !stopping.signal.aborted) {
      due = false;
      const startedAt = performance.now();
      try {
        await run();
      } catch (error) {
        metrics.add('countersign_reconcile_failures_total', { reconciler: name });
        log('error', 'reconcile failed', { reconciler: name, err: error });
      }
      metrics.add('countersign_reconcile_seconds_total', { reconciler: name }, (performance.now() - startedAt) / 1_000);
    }
    running = null;
  };
  const wake = (): void => {
    due = true;
    running ??= work();
  };
  const subscriptions = wakes.map((signal) => signal.subscribe(wake));
  const timer = setInterval(wake, intervalMs);
  wake();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      clearInterval(timer);
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      await running;
    },
  };
}
