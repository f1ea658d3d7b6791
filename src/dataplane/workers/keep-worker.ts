import { pause } from '../../platform/clock/pause.ts';
import type { Log } from '../../platform/log/logger.ts';
import { backoffMs } from '../link/backoff.ts';
import type { WorkerProcess } from './worker-process.ts';

export type KeepWorkerOptions = {
  readonly index: number;
  /** Resolves when it serves, or has ended before. */
  readonly start: () => Promise<WorkerProcess>;
  /** How many serve now. */
  readonly serving: () => number;
  readonly log: Log;
  readonly signal: AbortSignal;
};

/** Keeps one place of the pool taken: a worker that dies is started again, later each time while it does not stay up. */
export async function keepWorker({ index, start, serving, log, signal }: KeepWorkerOptions): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const startedAt = performance.now();
    const worker = await start();
    const how = await worker.ended;
    if (signal.aborted) return;
    failures = performance.now() - startedAt > STEADY_MS ? 0 : failures + 1;
    const waitMs = backoffMs(Math.max(0, failures - 1), Math.random(), RESTART);
    log('error', failures < LOOP_AFTER ? 'worker ended' : 'worker does not stay up', {
      worker: index,
      workerPid: worker.pid,
      how,
      failures,
      serving: serving(),
      startsAgainInMs: waitMs,
    });
    await pause(waitMs, signal);
  }
}

const RESTART = { firstMs: 100, mostMs: 10_000 };
/** A worker that ran for so long was well; its next death starts the waiting anew. */
const STEADY_MS = 30_000;
/** By then it is no accident. */
const LOOP_AFTER = 3;
