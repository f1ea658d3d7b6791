import { create, toBinary } from '@bufbuild/protobuf';
import type { MachineTokens } from '../control/access/machine-tokens.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { findCertificate } from '../control/ca/certificate-store.ts';
import { KeyDeliveries } from '../control/ca/deliver-key.ts';
import { issueCertificate } from '../control/ca/issue-certificate.ts';
import { findProfile } from '../control/ca/prepare-certificate.ts';
import { revokeCertificate } from '../control/ca/revoke-certificate.ts';
import { readRevokedSet, readRevokedSince } from '../control/ca/revoked-set.ts';
import { readTrustBundle } from '../control/ca/trust-bundle.ts';
import { listFederatedBundles } from '../control/federation/bundle-store.ts';
import { listTrustDomainNeeds } from '../control/fleet/store.ts';
import { drillRunKinds } from '../control/scans/read-drills.ts';
import { type DrillJobRecord, findJob, listOpenJobs } from '../control/scans/store.ts';
import type { Staples } from '../control/ca/staples.ts';
import type { TicketKeyring } from '../control/fleet/ticket-keyring.ts';
import { wireProtocols } from '../control/fleet/compile-settings.ts';
import type { TelemetryIngest } from '../control/telemetry/ingest-report.ts';
import { ingestReport } from '../control/telemetry/ingest-report.ts';
import { encodePem } from '../core/x509/pem.ts';
import { isEntityId } from '../core/ids/entity-id.ts';
import { DrillJobSchema } from '../core/messages/generated/countersign/v1/settings_pb.ts';
import { DRILL_JOB_TYPE, SETTINGS_TYPE } from '../core/messages/type-urls.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { Signal } from '../platform/clock/signal.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { parseHostPort } from '../platform/network/host-port.ts';
import { authenticateNode, dismissalOf } from '../protocols/data-plane/authenticate-node.ts';
import { type DataPlaneListener, type ListenerCredentials, openDataPlaneListener } from '../protocols/data-plane/data-plane-listener.ts';
import { followRevocations, openRevokedIndex } from '../protocols/data-plane/revoked-index.ts';
import type { RpcMethod } from '../protocols/data-plane/rpc-method.ts';
import { issueDrillMethod, revokeDrillMethod } from '../protocols/enrollment/drill-certificate.ts';
import type { EnrollmentDeps } from '../protocols/enrollment/enrollment-deps.ts';
import { joinMethod } from '../protocols/enrollment/join.ts';
import { renewMethod } from '../protocols/enrollment/renew.ts';
import { telemetryMethod } from '../protocols/telemetry/ingest.ts';
import { revokedSetSource, trustBundleSource } from '../protocols/xds/authority-sources.ts';
import { readFederatedBundles } from '../protocols/xds/federated-bundles.ts';
import { deltaMethod } from '../protocols/xds/delta-stream.ts';
import type { DiscoveryOptions } from '../protocols/xds/discovery-stream.ts';
import { isEnvoyType } from '../protocols/xds/envoy-sources.ts';
import { secretMethods } from '../protocols/xds/secret-streams.ts';
import { sotwMethod } from '../protocols/xds/sotw-stream.ts';
import type { ResourceSource } from '../protocols/xds/resource-source.ts';
import { ownSource, probeSource, type ResourceBody } from '../protocols/xds/sources.ts';
import { stapleSource } from '../protocols/xds/staple-source.ts';
import { ticketKeySource } from '../protocols/xds/ticket-key-source.ts';
import { countReplicas } from './count-replicas.ts';
import type { EnvoyLink } from './envoy-link.ts';
import type { FleetLink } from './fleet-link.ts';
import type { State } from './open-state.ts';

export type DataPlaneDeps = {
  readonly config: ServerConfig;
  readonly state: State;
  readonly authorities: Authorities;
  readonly machineTokens: MachineTokens;
  readonly credentials: ListenerCredentials;
  readonly ingest: TelemetryIngest;
  readonly fleet: FleetLink;
  readonly envoy: EnvoyLink;
  /** Trust bundle, revoked set and suspensions changed. */
  readonly authorityChanged: Signal;
  readonly tickets: TicketKeyring;
  readonly ticketsChanged: Signal;
  readonly staples: Staples;
  readonly drillsChanged: Signal;
  /** Bundles of other trust domains changed. */
  readonly federationChanged: Signal;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Opens the listener of data planes with every method that they may call. */
export async function serveDataPlane(deps: DataPlaneDeps): Promise<DataPlaneListener> {
  const { state, authorities, clock, log, metrics, authorityChanged } = deps;
  const { queries } = state.database;
  const revoked = await openRevokedIndex(
    () => readRevokedSet(queries),
    (sequence) => readRevokedSince(queries, sequence),
  );
  const trust = { anchors: authorities.roots, intermediates: authorities.issuing.map(({ certificate }) => certificate) };
  const listener = await openDataPlaneListener({
    ...deps.config.listen.dataPlane,
    credentials: deps.credentials,
    clock,
    log,
    authenticate: (chain) =>
      authenticateNode(
        {
          trust: () => trust,
          findCertificate: (issuer, serial) => findCertificate(queries, issuer, serial),
          graceMs: (environment, profile) => findProfile(authorities, environment, profile)?.renewalGraceMs ?? 0,
          revoked,
          clock,
        },
        chain,
      ),
    dismissal: (node) => dismissalOf(clock.now(), revoked, node),
    methods: [
      ...enrollmentMethods(deps),
      telemetryMethod({ clock, ingest: (sender, report, now) => ingestCounted(deps, sender, report, now) }),
      ...discoveryMethods(deps),
      ...remoteSecretMethods(deps),
    ],
  });
  metrics.collect(() => {
    metrics.set('countersign_data_plane_connections', listener.connections);
    for (const [reason, count] of listener.refusals()) metrics.set('countersign_data_plane_refusals_total', count, { reason });
  });
  const following = followRevocations({
    index: revoked,
    signal: authorityChanged,
    changed: () => listener.recheck(),
    failed: (error) => log('error', 'revoked set could not be read', { error }),
  });
  const close = listener[Symbol.asyncDispose].bind(listener);
  return Object.assign(listener, {
    [Symbol.asyncDispose]: async () => {
      following[Symbol.dispose]();
      await close();
    },
  });
}

async function ingestCounted({ ingest, metrics }: DataPlaneDeps, ...[sender, report, now]: Tail<Parameters<typeof ingestReport>>) {
  const result = await ingestReport(ingest, sender, report, now);
  metrics.add('countersign_telemetry_reports_total', {
    result: result.duplicate ? 'duplicate' : result.refused.length > 0 ? 'refused' : 'counted',
  });
  if (!result.duplicate) countReplicas(metrics, report.replicas);
  return result;
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;

function enrollmentMethods({ state, authorities, machineTokens, authorityChanged, clock }: DataPlaneDeps): RpcMethod[] {
  const { database } = state;
  const enrollment: EnrollmentDeps = {
    issue: (request, now) => issueCertificate({ database, authorities }, request, now),
    queries: database.queries,
    roots: () => authorities.roots.map(({ der }) => der),
    clock,
  };
  const drills = {
    ...enrollment,
    environmentOfJob: async (jobId: string) => {
      const job = isEntityId('drill', jobId) ? await findJob(database.queries, jobId) : null;
      return job === null || job.closedAt !== null ? null : job.environment;
    },
    revoke: (revocation: Parameters<typeof revokeCertificate>[1], actor: Parameters<typeof revokeCertificate>[2], now: number) =>
      revokeCertificate({ database, changed: authorityChanged }, revocation, actor, now),
    issuerKeys: () => authorities.issuing.map(({ keySha256 }) => keySha256),
  };
  return [joinMethod({ ...enrollment, machineTokens }), renewMethod(enrollment), issueDrillMethod(drills), revokeDrillMethod(drills)];
}

function discoveryMethods(deps: DataPlaneDeps): readonly RpcMethod[] {
  const { state, config, fleet, envoy, tickets, staples, authorityChanged, drillsChanged, clock, log, metrics } = deps;
  const { queries } = state.database;
  const federated = readFederatedBundles({
    readNeeds: () => listTrustDomainNeeds(queries),
    readBundles: () => listFederatedBundles(queries),
    changes: [deps.federationChanged, fleet.settingsChanged],
  });
  const sources: ResourceSource[] = [
    trustBundleSource({ read: () => readTrustBundle(queries), changes: authorityChanged, federated }),
    revokedSetSource({ trustDomain: config.trustDomain, read: () => envoy.revokedSet.read(), changes: authorityChanged }),
    stapleSource({ read: async (node) => (await staples.read(node, clock.now()))?.der ?? null, changes: staples }),
    ticketKeySource({ read: (node) => tickets.keysOf(node), changes: deps.ticketsChanged }),
    ownSource({ typeUrl: SETTINGS_TYPE, read: (node) => fleet.readSettings(node.proxyId), changes: fleet.settingsChanged }),
    probeSource({
      typeUrl: DRILL_JOB_TYPE,
      changes: drillsChanged,
      read: async (node) => (await listOpenJobs(queries, node.environment)).map(drillResource),
    }),
  ];
  const options: DiscoveryOptions = {
    sources: [...sources, ...envoy.sources],
    log,
    attend: ({ proxyId }) => fleet.attend(proxyId),
    recordAcknowledgement: async (answer, { proxyId }) => {
      const { typeUrl, version, refusal } = answer;
      if (typeUrl === SETTINGS_TYPE) {
        metrics.add('countersign_settings_answers_total', { answer: refusal === undefined ? 'acknowledged' : 'refused' });
        await fleet.recordAcknowledgement({ proxyId, version, ...(refusal === undefined ? {} : { refusal }) }, clock.now());
      } else if (isEnvoyType(typeUrl)) {
        await envoy.record({ ...answer, proxyId });
      } else if (refusal !== undefined) {
        log('warn', 'resource refused', { typeUrl, proxyId, version, refusal });
      }
    },
  };
  return [deltaMethod(options), sotwMethod(options)];
}

/** For Envoys that others run. */
function remoteSecretMethods({ state, authorities, envoy, authorityChanged, clock, log }: DataPlaneDeps): readonly RpcMethod[] {
  const deliveries = new KeyDeliveries({ database: state.database, authorities });
  return secretMethods({
    clock,
    log,
    authoritiesChanged: authorityChanged,
    async readTrust() {
      const crls = await envoy.lists.read(clock.now());
      return { roots: authorities.roots.map(({ der }) => der), crls: [...crls.values()] };
    },
    async deliver({ issuerKeySha256, serialHex }, now) {
      const made = await deliveries.deliver({ issuerKeySha256, serial: Buffer.from(serialHex, 'hex') }, now);
      if (made === null) return null;
      const { chain, notBefore, notAfter } = made.issued;
      return {
        serialHex: made.issued.serialHex,
        chainPem: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
        keyPem: made.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
        notBefore,
        notAfter,
      };
    },
  });
}

function drillResource(job: DrillJobRecord): ResourceBody {
  const { host, port } = parseHostPort(job.address);
  const message = create(DrillJobSchema, {
    jobId: job.id,
    endpointId: job.endpointId,
    endpointName: job.endpointName,
    address: { address: { case: 'internet', value: { ip: host, port } } },
    serverSpiffeId: job.serverSpiffeId,
    protocol: wireProtocols[job.protocol],
    kinds: [...drillRunKinds],
    environment: job.environment,
    deadlineMs: BigInt(job.deadlineAt),
  });
  return { name: job.id, octets: toBinary(DrillJobSchema, message) };
}
