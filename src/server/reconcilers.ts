import { forgetUsedMachineTokens } from '../control/access/machine-token-store.ts';
import { sweepJoinTokens } from '../control/access/sweep-join-tokens.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { reconcileRequests } from '../control/ca/finish-request.ts';
import type { OcspAnswers } from '../control/ca/ocsp-answers.ts';
import { reconcileAuthorities } from '../control/ca/reconcile.ts';
import { relintCertificates } from '../control/ca/relint-certificates.ts';
import { makeStartOrder } from '../control/external/start-order.ts';
import type { DeclaredProfiles } from '../control/policies/declared-profiles.ts';
import { sweepGrants } from '../control/grants/sweep-grants.ts';
import { reconcileSettings } from '../control/fleet/reconcile.ts';
import type { PublishedKeySets } from '../control/fleet/published-key-sets.ts';
import type { Staples } from '../control/ca/staples.ts';
import type { TicketKeyring } from '../control/fleet/ticket-keyring.ts';
import { ProxyRetirement } from '../control/fleet/retire-proxies.ts';
import { endExceptions } from '../control/inventory/end-exceptions.ts';
import { listServices } from '../control/inventory/store.ts';
import { reconcile as reconcileRollouts } from '../control/rollouts/reconcile.ts';
import { readLatchedEndpoints } from '../control/rollouts/store.ts';
import { reconcile as reconcileScans } from '../control/scans/reconcile.ts';
import { pruneTelemetry } from '../control/telemetry/prune-telemetry.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { fleetPort } from './fleet-link.ts';
import type { State } from './open-state.ts';
import { type Reconciler, runReconciler } from './run-reconciler.ts';
import type { Signals } from './signals.ts';

export type ReconcilerDeps = {
  readonly config: ServerConfig;
  readonly state: State;
  readonly authorities: Authorities;
  readonly profiles: DeclaredProfiles;
  readonly ocsp: OcspAnswers;
  readonly staples: Staples;
  readonly tickets: TicketKeyring;
  readonly publishedKeys: PublishedKeySets;
  readonly signals: Signals;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Starts the background work of the control plane. Each reads all state anew, so that a crash at any point is made good by the next run. */
export function startReconcilers(deps: ReconcilerDeps): AsyncDisposable {
  const { config, state, authorities, signals, clock } = deps;
  const { database } = state;
  const retirement = new ProxyRetirement({ database, changed: signals.authorities, longestGraceMs: () => deps.profiles.longestGraceMs() });
  const startOrder = makeStartOrder({ database, authorities, changed: signals.external });
  const work: Reconciler[] = [
    {
      name: 'authorities',
      run: () => reconcileAuthorities({ database, authorities, changed: signals.authorities }, clock.now()),
      // By timer alone: a burst of revocations makes one list a shard, not one a revocation.
      wakes: [],
      intervalMs: SECOND_MS / 4,
    },
    // A bounded page each: an old store of a million is through within the hour, beside all other work.
    { name: 'lint', run: () => relintCertificates({ database }, clock.now()), wakes: [], intervalMs: SECOND_MS / 2 },
    { name: 'staples', run: async () => deps.staples.reconcile(clock.now()), wakes: [], intervalMs: MINUTE_MS },
    {
      name: 'requests',
      run: () => reconcileRequests({ database, authorities, startOrder }, clock.now()),
      wakes: [],
      intervalMs: 5 * SECOND_MS,
    },
    { name: 'ocsp', run: () => deps.ocsp.reconcile(clock.now()), wakes: [], intervalMs: MINUTE_MS },
    {
      name: 'fleet',
      run: () =>
        reconcileSettings(
          { database, trustDomain: config.trustDomain, readLatched: readLatchedEndpoints, changed: signals.settings },
          clock.now(),
        ),
      wakes: [signals.inventory, signals.modes],
      intervalMs: SECOND_MS,
    },
    {
      name: 'exceptions',
      run: () => endExceptions({ database, changed: signals.inventory }, clock.now()),
      wakes: [],
      intervalMs: 5 * SECOND_MS,
    },
    {
      name: 'ticket-keys',
      run: () => deps.tickets.reconcile(clock.now()),
      wakes: [signals.inventory, signals.ticketOrders],
      intervalMs: 5 * SECOND_MS,
    },
    {
      name: 'token-keys',
      run: () => deps.publishedKeys.reconcile(clock.now()),
      wakes: [signals.inventory],
      intervalMs: 5 * SECOND_MS,
    },
    {
      name: 'retirement',
      run: () => retirement.reconcile(clock.now()),
      wakes: [signals.inventory],
      intervalMs: SECOND_MS,
    },
    {
      name: 'rollouts',
      run: () => reconcileRollouts({ database, fleet: fleetPort, modesChanged: signals.modes }, clock.now()),
      wakes: [signals.telemetry, signals.acknowledged, signals.drills, signals.inventory],
      intervalMs: SECOND_MS / 2,
    },
    {
      name: 'scans',
      run: async () => {
        const environments = new Set((await listServices(database.queries, '*')).map(({ environment }) => environment));
        for (const environment of environments) await reconcileScans({ database, changed: signals.drills }, environment, clock.now());
      },
      wakes: [signals.telemetry, signals.drills],
      intervalMs: SECOND_MS / 2,
    },
    // Whoever applies a declaration reloads at once; this is for what another process applied.
    { name: 'profiles', run: () => deps.profiles.reload(database.queries), wakes: [signals.inventory], intervalMs: 5 * SECOND_MS },
    {
      name: 'machine-tokens',
      run: () => database.commit((unit) => forgetUsedMachineTokens(unit.queries, clock.now())),
      wakes: [],
      intervalMs: MINUTE_MS,
    },
    { name: 'join-tokens', run: () => sweepJoinTokens({ database }, clock.now()), wakes: [], intervalMs: HOUR_MS },
    { name: 'grants', run: () => sweepGrants({ database }, clock.now()), wakes: [], intervalMs: HOUR_MS },
    { name: 'telemetry', run: () => pruneTelemetry({ database }, clock.now()), wakes: [], intervalMs: MINUTE_MS },
  ];
  const running = work.map((reconciler) => runReconciler(reconciler, deps));
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(running.map((one) => one[Symbol.asyncDispose]()));
    },
  };
}
