import type { Authorities } from '../control/ca/authorities.ts';
import { askRevocations } from '../control/external/ask-revocations.ts';
import { OrderDriver } from '../control/external/order-driver.ts';
import { renewCertificates } from '../control/external/renew-certificates.ts';
import { watchCertificates } from '../control/external/watch-certificates.ts';
import { MINUTE_MS, SECOND_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { HostPort } from '../platform/network/host-port.ts';
import { makeNameResolver } from '../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../platform/network/outside-policy.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { State } from './open-state.ts';
import { runReconciler } from './run-reconciler.ts';
import type { Signals } from './signals.ts';

export type ExternalOptions = {
  readonly config: ServerConfig;
  readonly state: State;
  readonly authorities: Authorities;
  /** Never reached, whatever a CA or a certificate names. */
  readonly ownListeners: () => readonly HostPort[];
  readonly signals: Signals;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Asks other CAs for what was ordered, renews it, and watches all certificates of theirs. */
export function runExternal({ config, state, authorities, ownListeners, signals, clock, log, metrics }: ExternalOptions): AsyncDisposable {
  const { database, kek } = state;
  const resolver = makeNameResolver(config.external.dnsServers);
  const policy = parseOutsidePolicy(config.external.allow, ownListeners);
  const outside = { database, kek, clock, resolver, policy, log };
  const driver = new OrderDriver(outside);
  const requests = { database, changed: signals.external, authorities };
  const wakes = [signals.external];
  const running = [
    { name: 'external-orders', run: () => driver.run(), wakes, intervalMs: SECOND_MS },
    { name: 'external-revocations', run: () => askRevocations(outside), wakes, intervalMs: 5 * SECOND_MS },
    { name: 'external-renewals', run: () => renewCertificates(requests, clock.now()), wakes: [], intervalMs: MINUTE_MS / 4 },
    { name: 'external-watch', run: () => watchCertificates(outside), wakes, intervalMs: 5 * SECOND_MS },
  ].map((reconciler) => runReconciler(reconciler, { log, metrics }));
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all([driver[Symbol.asyncDispose](), ...running.map((one) => one[Symbol.asyncDispose]())]);
    },
  };
}
