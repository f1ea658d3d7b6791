import { erasePerson } from '../control/audit/erase-person.ts';
import type { MachineTokens } from '../control/access/machine-tokens.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { pinnedRoot } from '../control/ca/authorities.ts';
import type { PublishedKeySets } from '../control/fleet/published-key-sets.ts';
import { makeStartOrder } from '../control/external/start-order.ts';
import { readLatchedEndpoints } from '../control/rollouts/store.ts';
import type { DeclaredProfiles } from '../control/policies/declared-profiles.ts';
import type { Secret } from '../core/secrets/secret.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { type AdminCredentials, type AdminServer, startAdminServer } from '../protocols/admin/admin-server.ts';
import { accessHandlers } from '../protocols/admin/serve-access.ts';
import { certificateHandlers } from '../protocols/admin/serve-certificates.ts';
import { externalHandlers } from '../protocols/admin/serve-external.ts';
import { federationHandlers } from '../protocols/admin/serve-federation.ts';
import { grantHandlers } from '../protocols/admin/serve-grants.ts';
import { inventoryHandlers } from '../protocols/admin/serve-inventory.ts';
import { issuanceHandlers } from '../protocols/admin/serve-issuance.ts';
import { logHandlers } from '../protocols/admin/serve-log.ts';
import { renewalHandlers } from '../protocols/admin/serve-renewals.ts';
import { requestHandlers } from '../protocols/admin/serve-requests.ts';
import { rolloutHandlers } from '../protocols/admin/serve-rollouts.ts';
import { readLogFile } from '../protocols/log/log-files.ts';
import type { AcmeSecrets } from '../protocols/acme/acme-secrets.ts';
import type { EnvoyLink } from './envoy-link.ts';
import { grantMakers } from './grant-makers.ts';
import { fleetPort } from './fleet-link.ts';
import { personHolders } from './person-holders.ts';
import type { State } from './open-state.ts';
import type { Signals } from './signals.ts';

export type AdminDeps = {
  readonly config: ServerConfig;
  readonly state: State;
  readonly authorities: Authorities;
  readonly profiles: DeclaredProfiles;
  readonly machineTokens: MachineTokens;
  readonly publishedKeys: PublishedKeySets;
  readonly credentials: AdminCredentials;
  readonly envoy: EnvoyLink;
  readonly signals: Signals;
  /** Null: ACME is not served. */
  readonly acmeSecrets: AcmeSecrets | null;
  /** Null: CMP is not served. */
  readonly cmpRoot: Secret<Uint8Array> | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Opens the REST listener with the handlers of every route. */
export function serveAdmin(deps: AdminDeps): Promise<AdminServer> {
  const { config, state, authorities, profiles, credentials, signals, clock, log, metrics } = deps;
  const { database, verifier } = state;
  const { queries } = database;
  const { trustDomain, environment, region } = config;
  const place = { trustDomain, environment, region };
  const authorityChanged = signals.authorities;
  return startAdminServer({
    machineTokens: deps.machineTokens,
    listen: config.listen.admin,
    credentials,
    database,
    place,
    clock,
    log,
    metrics,
    handlers: {
      ...accessHandlers({ database, place, rootSpkiSha256: () => pinnedRoot(authorities).spkiSha256, authorityChanged }),
      ...inventoryHandlers({
        database,
        place,
        desiredChanged: signals.inventory,
        kek: state.kek,
        ticketsOrdered: signals.ticketOrders,
        learnKeys: (policies, asker, now) => deps.publishedKeys.learn(policies, asker, now),
        reloadProfiles: () => profiles.reload(queries),
        readLatched: readLatchedEndpoints,
        envoyOf: (proxyId) => deps.envoy.book.statusOf(proxyId),
      }),
      ...certificateHandlers({ database, authorities, region, authorityChanged, externalChanged: signals.external }),
      ...issuanceHandlers({ database, authorities, environment }),
      ...requestHandlers({ database, authorities, startOrder: makeStartOrder({ database, authorities, changed: signals.external }) }),
      ...renewalHandlers({ database, authorities, log }),
      ...rolloutHandlers({
        rollouts: { database, fleet: fleetPort, modesChanged: signals.modes },
        rolloutChanged: signals.inventory,
        drillsChanged: signals.drills,
      }),
      ...grantHandlers({
        database,
        makers: grantMakers({ database, authorities }, { acme: deps.acmeSecrets, cmp: deps.cmpRoot, scep: config.scep !== null }),
        place,
      }),
      ...externalHandlers({ database, kek: state.kek, region, changed: signals.external, authorities }),
      ...federationHandlers({ queries }),
      ...logHandlers({
        queries,
        metrics,
        erasePerson: (name, actor, now) => erasePerson({ database, holders: personHolders }, { name, environment, region }, actor, now),
        readLogFile: (path) => readLogFile({ queries, verifier }, path),
      }),
    },
  });
}
