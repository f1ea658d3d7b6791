import { mkdtemp } from 'node:fs/promises';
import { EventEmitter, once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { controlPlaneSpiffeId, environmentOf, parseSpiffeId, type SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../src/core/identity/trust-domain.ts';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import {
  BundleAuthority_Role,
  type ProxySettings,
  ProxySettingsSchema,
  RevokedSetSchema,
  TicketKeysSchema,
  TrustBundleSchema,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { Side, type TelemetryReport } from '../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';
import { HOUR_MS, type Instant } from '../../src/core/time/instant.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import { openStateDirectory, type StateDirectory } from '../../src/platform/keystore/state-directory.ts';
import type { Log } from '../../src/platform/log/logger.ts';
import { authenticateNode, type CertificateOwner, dismissalOf } from '../../src/protocols/data-plane/authenticate-node.ts';
import { openDataPlaneListener } from '../../src/protocols/data-plane/data-plane-listener.ts';
import { openRevokedIndex } from '../../src/protocols/data-plane/revoked-index.ts';
import type { RpcMethod } from '../../src/protocols/data-plane/rpc-method.ts';
import { renewMethod } from '../../src/protocols/enrollment/renew.ts';
import { telemetryMethod } from '../../src/protocols/telemetry/ingest.ts';
import { sotwMethod } from '../../src/protocols/xds/sotw-stream.ts';
import { deltaMethod } from '../../src/protocols/xds/delta-stream.ts';
import type { DiscoveryOptions } from '../../src/protocols/xds/discovery-stream.ts';
import type { Acknowledged, ResourceSource } from '../../src/protocols/xds/resource-source.ts';
import type { ResourceBody } from '../../src/protocols/xds/sources.ts';
import { type CompileEnvoy, serveEnvoys } from './envoy-service.ts';
import { testSources } from './test-sources.ts';
import { makeTestAuthority, type TestAuthority, type TestLeaf } from './test-authority.ts';

export const START: Instant = Date.UTC(2026, 10, 24);
export const TRUST_DOMAIN = parseTrustDomain('example.test');
export const CONTROL_PLANE = controlPlaneSpiffeId(TRUST_DOMAIN, 'prod');
export type LoggedEvent = { readonly level: string; readonly event: string; readonly fields: { readonly [name: string]: unknown } };

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

/** The real listener and the real protocols over a test CA and state in memory. */
export async function startTestControlPlane(
  options: {
    readonly authority?: TestAuthority;
    readonly clock?: ManualClock;
    readonly port?: number;
    readonly graceMs?: number;
    readonly sources?: readonly ResourceSource[];
    /** How settings become Envoy's resources; absent: no Envoy is served. */
    readonly envoy?: CompileEnvoy;
    readonly limits?: { readonly maximumConnections?: number; readonly handshakeTimeoutMs?: number };
  } = {},
) {
  const clock = options.clock ?? new ManualClock(START);
  const authority = options.authority ?? makeTestAuthority(clock.now());
  const events = new EventEmitter<{ acknowledged: [Acknowledged]; report: [TelemetryReport]; logged: [LoggedEvent] }>();
  const logged: LoggedEvent[] = [];
  const log: Log = (level, event, fields = {}) => {
    logged.push({ level, event, fields });
    events.emit('logged', { level, event, fields });
  };
  const owners = new Map<string, CertificateOwner>();
  const settings = new Map<string, ProxySettings>();
  const tickets = new Map<string, ResourceBody>();
  const drills: ResourceBody[] = [];
  const revoked = create(RevokedSetSchema, { sequence: 1n });
  const bundle = create(TrustBundleSchema, {
    trustDomain: TRUST_DOMAIN,
    sequence: 1n,
    authorities: [
      { role: BundleAuthority_Role.ROOT, certificate: authority.root.der },
      { role: BundleAuthority_Role.ISSUING, certificate: authority.issuing.der },
    ],
  });
  const changes = { settings: makeSignal(), bundle: makeSignal(), revoked: makeSignal(), tickets: makeSignal(), drills: makeSignal() };
  const [reads, crls] = [{ bundle: 0 }, new Map<string, Uint8Array>()];
  const readSettings = async (proxyId: EntityId<'proxy'>): Promise<ResourceBody | null> => {
    const found = settings.get(proxyId);
    if (found === undefined) return null;
    return { name: proxyId, version: found.generation.toString(), octets: toBinary(ProxySettingsSchema, found) };
  };
  const envoys = serveEnvoys({
    compile: options.envoy,
    readSettings,
    authorities: { trust: [bundle], federated: [], revoked, crls },
    changes,
    clock,
    log,
  });
  const [acknowledged, reports]: [Acknowledged[], TelemetryReport[]] = [[], []];
  const scope = { serves: new Set<string>(), calls: new Set<string>() };
  const index = await openRevokedIndex(async () => ({
    sequence: Number(revoked.sequence),
    certificates: revoked.certificates.map((one) => ({ ...one, spiffeId: null, notAfter: 0, issuerKeySha256: hex(one.issuerKeySha256) })),
    suspended: revoked.suspendedSpiffeIds.map(parseSpiffeId),
  }));

  const enrol = (spiffeId: SpiffeId, proxyId: EntityId<'proxy'>, leaf: TestLeaf = {}) => {
    const credential = authority.issue({ uris: [spiffeId], ...leaf });
    const owner: CertificateOwner = {
      proxyId,
      spiffeId,
      environment: environmentOf(spiffeId),
      region: 'eu',
      status: 'issued',
      door: 'join',
      profile: 'workload',
      revokedAt: null,
    };
    owners.set(credential.certificate.serialHex, owner);
    return credential;
  };

  const discovery: DiscoveryOptions = {
    attend: ({ proxyId }) => envoys.attend(proxyId),
    sources: [
      ...testSources({ bundle, revoked, tickets, drills, reads, readSettings, changes }),
      ...envoys.sources,
      ...(options.sources ?? []),
    ],
    async recordAcknowledgement(answer, { proxyId }) {
      const acknowledgement = { ...answer, proxyId };
      envoys.note(acknowledgement);
      acknowledged.push(acknowledgement);
      events.emit('acknowledged', acknowledgement);
    },
    log,
  };
  const methods: RpcMethod[] = [
    deltaMethod(discovery),
    sotwMethod(discovery),
    telemetryMethod({
      async ingest(_sender, report) {
        const foreign = report.counts.find(({ side, endpointId }) => !(side === Side.CALLER ? scope.calls : scope.serves).has(endpointId));
        const refused = foreign === undefined ? [] : [{ endpointId: foreign.endpointId as EntityId<'endpoint'>, part: 'counts' as const }];
        if (foreign === undefined) reports.push(report);
        events.emit('report', report);
        return { acknowledged: Number(report.sequence), duplicate: false, refused, dropped: 0 };
      },
      clock,
    }),
    renewMethod({
      async issue(request) {
        const credential = enrol(request.spiffeId!, request.proxyId!, {
          publicKey: request.csr.publicKey,
          notBefore: clock.now() - HOUR_MS,
        });
        const { serial, serialHex, der, notBefore, notAfter } = credential.certificate;
        const { spiffeId, proxyId } = request;
        return {
          issuerKeySha256: authority.issuing.spkiSha256,
          serial,
          serialHex,
          issuerId: 'authority_',
          spiffeId,
          proxyId,
          der,
          chain: credential.chain,
          notBefore,
          notAfter,
        };
      },
      clock,
    }),
  ];
  const open = (port: number) =>
    openDataPlaneListener({
      host: '127.0.0.1',
      port,
      ...options.limits,
      credentials: serverCredentials(),
      authenticate: (chain) =>
        authenticateNode(
          {
            trust: () => ({ anchors: [authority.root], intermediates: [authority.issuing] }),
            findCertificate: async (issuer, serial) =>
              issuer === authority.issuing.spkiSha256 ? (owners.get(Buffer.from(serial).toString('hex')) ?? null) : null,
            graceMs: () => options.graceMs ?? 0,
            revoked: index,
            clock,
          },
          chain,
        ),
      dismissal: (node) => dismissalOf(clock.now(), index, node),
      methods,
      clock,
      log,
    });
  const serverCredentials = () => {
    const { certificate, fullChain, key } = authority.issue({ uris: [CONTROL_PLANE], ips: ['127.0.0.1'] });
    serverSerial = certificate.serial;
    return { chain: fullChain, key };
  };
  let serverSerial: Uint8Array = new Uint8Array();
  let listener = await open(options.port ?? 0);
  const { port } = listener;

  return {
    authority,
    clock,
    log,
    logged,
    port,
    control: { host: '127.0.0.1', port },
    settings,
    drills,
    scope,
    acknowledged,
    reports,
    revoked,
    bundle,
    changes,
    reads,
    crls,
    envoys,
    serverSerial: () => serverSerial,
    enrol,
    events,
    get listener() {
      return listener;
    },
    /** An identity in a state directory of its own, as after a join. */
    async joined(
      name: string,
      leaf: TestLeaf = {},
    ): Promise<{ readonly state: StateDirectory; readonly proxyId: EntityId<'proxy'>; readonly spiffeId: SpiffeId }> {
      const spiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/${name}`);
      const proxyId = newEntityId('proxy', clock.now());
      const { key: privateKey, chain } = enrol(spiffeId, proxyId, leaf);
      const state = await openStateDirectory(await mkdtemp(join(tmpdir(), 'countersign-state-')));
      await state.writeIdentity({
        proxyId,
        spiffeId,
        controlPlane: CONTROL_PLANE,
        privateKey,
        chain,
        roots: [authority.root.der],
        renewalEpoch: null,
      });
      return { state, proxyId, spiffeId };
    },
    setSettings(
      proxyId: EntityId<'proxy'>,
      spiffeId: SpiffeId,
      generation: bigint,
      more: MessageInitShape<typeof ProxySettingsSchema> = {},
    ): void {
      settings.set(proxyId, create(ProxySettingsSchema, { ...more, proxyId, spiffeId, generation }));
      changes.settings.notify();
    },
    /** Delivers these keys to all of the proxies. */
    setTicketKeys(proxyIds: readonly EntityId<'proxy'>[], version: string, keys: MessageInitShape<typeof TicketKeysSchema>): void {
      const octets = toBinary(TicketKeysSchema, create(TicketKeysSchema, keys));
      for (const name of proxyIds) tickets.set(name, { name, version, octets });
      changes.tickets.notify();
    },
    async revokedChanged(): Promise<void> {
      revoked.sequence += 1n;
      await index.refresh();
      changes.revoked.notify();
      listener.recheck();
    },
    /** The next acknowledgement of a type, or one that came before and fits. */
    async acknowledgement(typeUrl: string, fits: (found: Acknowledged) => boolean = () => true): Promise<Acknowledged> {
      for (;;) {
        const found = acknowledged.find((candidate) => candidate.typeUrl === typeUrl && fits(candidate));
        if (found !== undefined) return found;
        await once(events, 'acknowledged');
      }
    },
    async report(fits: (report: TelemetryReport) => boolean = () => true): Promise<TelemetryReport> {
      for (;;) {
        const found = reports.find(fits);
        if (found !== undefined) return found;
        await once(events, 'report');
      }
    },
    async event(name: string, fits: (event: LoggedEvent) => boolean = () => true): Promise<LoggedEvent> {
      for (;;) {
        const found = logged.find((candidate) => candidate.event === name && fits(candidate));
        if (found !== undefined) return found;
        await once(events, 'logged');
      }
    },
    stop: (): Promise<void> => listener[Symbol.asyncDispose](),
    /** On the same port, with everything that it knew. */
    async start(): Promise<void> {
      listener = await open(port);
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

export type TestControlPlane = Awaited<ReturnType<typeof startTestControlPlane>>;
