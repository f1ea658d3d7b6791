import { RefusalLog } from '../control/access/refusal-log.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { HOUR_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ScepConfig } from '../platform/config/scep-config.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { ensureRegistrationAuthority } from '../protocols/scep/registration-authority.ts';
import type { HttpListener } from '../platform/network/open-http-listener.ts';
import { startScepServer } from '../protocols/scep/scep-server.ts';
import type { State } from './open-state.ts';
import { runReconciler } from './run-reconciler.ts';

export type ScepOptions = {
  readonly config: Pick<ServerConfig, 'environment' | 'region'>;
  readonly scep: ScepConfig;
  readonly state: Pick<State, 'database' | 'kek'>;
  readonly authorities: Authorities;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Opens the listener of SCEP, and keeps the certificate of its registration authority young. */
export async function serveScep({ config, scep, state, authorities, clock, log, metrics }: ScepOptions): Promise<HttpListener> {
  await using stack = new AsyncDisposableStack();
  const { database, kek } = state;
  const { environment, region } = config;
  const place = { environment, region };
  let authority = await ensureRegistrationAuthority({ database, authorities, kek }, place, clock.now());
  const deps = {
    database,
    authorities,
    registrationAuthority: () => authority,
    legacyUntil: scep.legacyUntil,
    refusals: new RefusalLog({ database, place }),
    log,
  };
  const server = stack.use(await startScepServer({ listen: scep.listen, deps, clock, metrics }));
  const run = async (): Promise<void> => {
    authority = await ensureRegistrationAuthority({ database, authorities, kek }, place, clock.now());
  };
  stack.use(runReconciler({ name: 'scep', run, wakes: [], intervalMs: HOUR_MS }, { log, metrics }));
  const running = stack.move();
  return { port: server.port, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
