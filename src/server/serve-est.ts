import type { MachineTokens } from '../control/access/machine-tokens.ts';
import { RefusalLog } from '../control/access/refusal-log.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { EstConfig } from '../platform/config/est-config.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { type EstCredentials, type EstServer, startEstServer } from '../protocols/est/est-server.ts';
import type { State } from './open-state.ts';

export type EstOptions = {
  readonly config: Pick<ServerConfig, 'environment' | 'region'>;
  readonly est: EstConfig;
  readonly state: Pick<State, 'database'>;
  readonly authorities: Authorities;
  readonly machineTokens: MachineTokens;
  readonly credentials: EstCredentials;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Opens the listener of EST. */
export function serveEst({
  config,
  est,
  state,
  authorities,
  machineTokens,
  credentials,
  clock,
  log,
  metrics,
}: EstOptions): Promise<EstServer> {
  const { environment, region } = config;
  const { database } = state;
  const place = { environment, region };
  const { profile, retryAfterMs } = est;
  const deps = {
    database,
    authorities,
    machineTokens,
    refusals: new RefusalLog({ database, place }),
    place,
    profile,
    retryAfterMs,
    bound: new Set(est.bound),
    log,
  };
  return startEstServer({ listen: est.listen, credentials, deps, clock, metrics });
}
