import type { Clock } from '../platform/clock/clock.ts';
import type { Log } from '../platform/log/logger.ts';
import type { ServerCredentials } from './server-credentials.ts';

/** Renews the control plane's own certificate when two thirds of its life are over; tries again each minute while that fails. */
export function renewCredentials(deps: {
  readonly first: ServerCredentials;
  readonly make: () => Promise<ServerCredentials>;
  readonly use: (credentials: ServerCredentials) => void;
  readonly clock: Clock;
  readonly log: Log;
}): Disposable {
  let current = deps.first;
  let busy = false;
  const check = async (): Promise<void> => {
    if (busy || deps.clock.now() < current.notBefore + ((current.notAfter - current.notBefore) * 2) / 3) return;
    busy = true;
    try {
      current = await deps.make();
      deps.use(current);
      deps.log('info', 'own certificate renewed', { notAfter: new Date(current.notAfter).toISOString() });
    } catch (err) {
      deps.log('error', 'own certificate could not be renewed', { err });
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void check(), CHECK_INTERVAL_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const CHECK_INTERVAL_MS = 60_000;
