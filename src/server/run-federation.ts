import { FederatedBundles } from '../control/federation/federated-bundles.ts';
import { SECOND_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import { fetchOutside } from '../platform/network/fetch-outside.ts';
import type { HostPort } from '../platform/network/host-port.ts';
import { makeNameResolver } from '../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../platform/network/outside-policy.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { State } from './open-state.ts';
import { runReconciler } from './run-reconciler.ts';
import type { Signals } from './signals.ts';

export type FederationOptions = {
  readonly config: ServerConfig;
  readonly state: State;
  /** Never reached, whatever a declaration names. */
  readonly ownListeners: () => readonly HostPort[];
  readonly signals: Signals;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Keeps the bundles of other trust domains as new as they say. */
export function runFederation({ config, state, ownListeners, signals, clock, log, metrics }: FederationOptions): AsyncDisposable {
  const resolver = makeNameResolver(config.federation.dnsServers);
  const policy = parseOutsidePolicy(config.federation.allow, ownListeners);
  const bundles = new FederatedBundles({
    database: state.database,
    fetch: (request) => fetchOutside({ resolver, policy }, request),
    changed: signals.federation,
    fetched: (result) => metrics.add('countersign_federated_fetches_total', { result }),
    log,
  });
  const reconciler = { name: 'federation', run: () => bundles.reconcile(clock.now()), wakes: [signals.inventory], intervalMs: SECOND_MS };
  return runReconciler(reconciler, { log, metrics });
}
