import type { Authorities } from '../control/ca/authorities.ts';
import { FleetLists } from '../control/ca/fleet-lists.ts';
import { RevokedSetReader } from '../control/ca/revoked-set-reader.ts';
import { readTrustBundle } from '../control/ca/trust-bundle.ts';
import { listFederatedBundles } from '../control/federation/bundle-store.ts';
import { deleteEnvoyRefusal, deleteEnvoyRefusals, listEnvoyRefusals } from '../control/fleet/envoy-refusal-store.ts';
import { recordEnvoyRefusals, type RefusedResource } from '../control/fleet/record-envoy-refusals.ts';
import { compileEnvoy } from '../core/envoy/compile-envoy.ts';
import { preflight } from '../core/envoy/preflight.ts';
import type { EntityId } from '../core/ids/entity-id.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { Signal } from '../platform/clock/signal.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { revokedSetMessage, trustBundleMessage } from '../protocols/xds/authority-sources.ts';
import { eitherOf, federatedBundleMessage } from '../protocols/xds/federated-bundles.ts';
import { EnvoyBook } from '../protocols/xds/envoy-book.ts';
import { EnvoySnapshots } from '../protocols/xds/envoy-snapshots.ts';
import { envoySources } from '../protocols/xds/envoy-sources.ts';
import type { Acknowledged, ResourceSource } from '../protocols/xds/resource-source.ts';
import type { FleetLink } from './fleet-link.ts';
import type { State } from './open-state.ts';

/** What the stream has for Envoys, and what it is told of them. */
export type EnvoyLink = {
  readonly sources: readonly ResourceSource[];
  readonly book: EnvoyBook;
  /** The revoked set as Envoys read it. */
  readonly lists: FleetLists;
  /** What is made for Envoys of it and what others are sent of it is read once. */
  readonly revokedSet: RevokedSetReader;
  /** Notes what an Envoy said of a resource of its types. */
  record(acknowledged: Acknowledged): Promise<void>;
};

export function openEnvoyLink(deps: {
  readonly state: State;
  readonly authorities: Authorities;
  readonly fleet: FleetLink;
  readonly authorityChanged: Signal;
  /** Bundles of other trust domains changed. */
  readonly federationChanged: Signal;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): EnvoyLink {
  const { state, authorities, fleet, clock, log, metrics } = deps;
  const { database } = state;
  const { queries } = database;
  const lists = new FleetLists({ database, authorities });
  const revokedSet = new RevokedSetReader(queries);
  const book = new EnvoyBook(() => clock.now(), {
    recall: (proxyId) => listEnvoyRefusals(queries, proxyId),
    forget: (proxyId) => database.commit((unit) => deleteEnvoyRefusals(unit.queries, proxyId)),
  });
  const refuse = async (proxyId: EntityId<'proxy'>, refused: readonly RefusedResource[]): Promise<void> => {
    for (const resource of refused) log('warn', 'envoy.resource-refused', { proxyId, ...resource });
    await recordEnvoyRefusals({ database }, proxyId, refused, clock.now());
  };
  const snapshots = new EnvoySnapshots({
    readSettings: (proxyId) => fleet.readSettings(proxyId),
    async readAuthorities() {
      // The set before the lists: a list may have more than the set says, never less.
      const [bundle, revoked] = await Promise.all([readTrustBundle(queries), revokedSet.read()]);
      const foreign = await listFederatedBundles(queries);
      const federated = foreign.map((record) => ({
        environment: record.environment,
        bundle: federatedBundleMessage(record.trustDomain, record),
      }));
      const crls = await lists.read(clock.now());
      return { trust: bundle === null ? [] : [trustBundleMessage(bundle)], federated, revoked: revokedSetMessage(revoked), crls };
    },
    compile: compileEnvoy,
    preflight: (resources) =>
      preflight(clock.now(), resources).map(({ resource: { typeUrl, name }, reason }) => ({ typeUrl, name, reason })),
    settingsChanged: fleet.settingsChanged,
    authoritiesChanged: eitherOf([deps.authorityChanged, deps.federationChanged]),
    made(proxyId, snapshot, faults) {
      refuse(proxyId, book.put(proxyId, snapshot, faults)).catch((error: unknown) =>
        log('error', 'envoy.refusal-not-logged', { proxyId, error }),
      );
    },
    failed: (proxyId, error) => log('error', 'envoy.compile-failed', { proxyId, error }),
  });
  metrics.collect(() => {
    metrics.set('countersign_envoys_connected', book.connected);
    metrics.set('countersign_envoy_resources_refused', book.refusals);
    metrics.set('countersign_envoy_encodings_total', snapshots.encodings);
  });
  return {
    sources: envoySources({ snapshots, book, log }),
    book,
    lists,
    revokedSet,
    async record({ proxyId, typeUrl, name, version, refusal }) {
      metrics.add('countersign_envoy_answers_total', { answer: refusal === undefined ? 'acknowledged' : 'refused' });
      if (refusal === undefined) {
        // Seldom: only of what was refused before.
        if (book.accept(proxyId, { typeUrl, name }))
          await database.commit((unit) => deleteEnvoyRefusal(unit.queries, { proxyId, typeUrl, name }));
        return;
      }
      const refused = { typeUrl, name, version, reason: refusal, by: 'envoy' } as const;
      if (book.refuse(proxyId, refused)) await refuse(proxyId, [refused]);
    },
  };
}
