import { chmod, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createBootstrapToken, needsBootstrap } from './control/access/bootstrap-token.ts';
import { MachineTokens } from './control/access/machine-tokens.ts';
import type { StagedEntry } from './control/audit/entry.ts';
import type { Authorities } from './control/ca/authorities.ts';
import { OcspAnswers } from './control/ca/ocsp-answers.ts';
import { Staples } from './control/ca/staples.ts';
import { forgetConnections } from './control/fleet/set-connected.ts';
import { PublishedKeySets } from './control/fleet/published-key-sets.ts';
import { TicketKeyring } from './control/fleet/ticket-keyring.ts';
import { readProxyScopes } from './control/fleet/proxy-scopes.ts';
import { DeclaredProfiles } from './control/policies/declared-profiles.ts';
import { openTelemetryIngest } from './control/telemetry/ingest-report.ts';
import { encodePem } from './core/x509/pem.ts';
import type { Clock } from './platform/clock/clock.ts';
import { makeSignal } from './platform/clock/signal.ts';
import type { ServerConfig } from './platform/config/server-config.ts';
import type { Log } from './platform/log/logger.ts';
import type { HostPort } from './platform/network/host-port.ts';
import { createMetrics, type Metrics } from './platform/telemetry/metrics.ts';
import { ensureAcmeSecrets } from './protocols/acme/acme-secrets.ts';
import { openEnvoyLink } from './server/envoy-link.ts';
import { openFleetLink } from './server/fleet-link.ts';
import { keyFetcher } from './server/key-fetcher.ts';
import { openOrMakeAuthorities, openState, type State } from './server/open-state.ts';
import { startReconcilers } from './server/reconcilers.ts';
import { runExternal } from './server/run-external.ts';
import { runFederation } from './server/run-federation.ts';
import { renewCredentials } from './server/renew-credentials.ts';
import { makeCredentials } from './server/server-credentials.ts';
import { serveAcme } from './server/serve-acme.ts';
import { ensureCmpRoot, serveCmp } from './server/serve-cmp.ts';
import { serveAdmin } from './server/serve-admin.ts';
import { serveBundle } from './server/serve-bundle.ts';
import { serveEst } from './server/serve-est.ts';
import { serveScep } from './server/serve-scep.ts';
import { serveDataPlane } from './server/serve-data-plane.ts';
import { servePublic } from './server/serve-public.ts';
import type { Signals } from './server/signals.ts';

export type ServerOptions = { readonly config: ServerConfig; readonly clock: Clock; readonly log: Log };

export type RunningServer = AsyncDisposable & {
  readonly addresses: {
    readonly admin: HostPort;
    readonly dataPlane: HostPort;
    readonly public: HostPort;
    readonly acme: HostPort | null;
    readonly bundleSpiffe: HostPort | null;
    readonly bundleWeb: HostPort | null;
    readonly est: HostPort | null;
    readonly cmp: HostPort | null;
    readonly scep: HostPort | null;
  };
  /** Where the bootstrap token of a first start lies, or null. */
  readonly bootstrapFile: string | null;
};

/**
 * Starts the control plane: state and keys, the three listeners, the reconcilers. Whatever was started is ended again when a later part fails.
 * @throws database-unsafe, key-file-unsafe, key-locked, input-invalid
 */
export async function startServer({ config, clock, log }: ServerOptions): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMetrics();
  const sealed = (staged: readonly StagedEntry[]): void => countEntries(metrics, staged);
  const state = stack.use(await openState({ config, clock, sealed }));
  const profiles = new DeclaredProfiles();
  await profiles.reload(state.database.queries);
  const authorities = { ...(await openOrMakeAuthorities(state, config, clock)), profiles };
  await writeRoots(config, authorities);
  const signals: Signals = {
    authorities: makeSignal(),
    settings: makeSignal(),
    acknowledged: makeSignal(),
    inventory: makeSignal(),
    modes: makeSignal(),
    telemetry: makeSignal(),
    drills: makeSignal(),
    tickets: makeSignal(),
    ticketOrders: makeSignal(),
    external: makeSignal(),
    federation: makeSignal(),
  };
  const { database } = state;
  await forgetConnections({ database });
  const credentials = await makeCredentials(state, authorities, config, clock);
  const ingest = openTelemetryIngest({ database, readScopes: readProxyScopes, changed: signals.telemetry });
  const fleet = stack.use(openFleetLink({ database, settingsChanged: signals.settings, acknowledged: signals.acknowledged, clock, log }));
  const envoy = openEnvoyLink({
    state,
    authorities,
    fleet,
    authorityChanged: signals.authorities,
    federationChanged: signals.federation,
    clock,
    log,
    metrics,
  });
  const ocsp = stack.use(new OcspAnswers({ database, authorities, changed: signals.authorities }));
  const staples = new Staples({ queries: database.queries, ocsp });
  const place = { environment: config.environment, region: config.region };
  const issuers = { database, place, fetch: keyFetcher(config), log };
  const machineTokens = new MachineTokens({ ...issuers, trustDomain: config.trustDomain });
  const publishedKeys = new PublishedKeySets({ ...issuers, changed: signals.modes });
  const tickets = new TicketKeyring({ database, kek: state.kek, changed: signals.tickets });
  await tickets.reconcile(clock.now());
  const shared = {
    config,
    state,
    authorities,
    profiles,
    machineTokens,
    publishedKeys,
    ocsp,
    staples,
    tickets,
    clock,
    log,
    metrics,
    signals,
  };
  const open = stack.use(await servePublic({ state, clock, log, ocsp, listen: config.listen.public }));
  const dataPlane = stack.use(
    await serveDataPlane({
      ...shared,
      credentials: credentials.listener,
      ingest,
      fleet,
      envoy,
      authorityChanged: signals.authorities,
      ticketsChanged: signals.tickets,
      drillsChanged: signals.drills,
      federationChanged: signals.federation,
    }),
  );
  const acmeSecrets = config.acme === null ? null : await ensureAcmeSecrets(state, config, clock.now());
  const cmpRoot = config.cmp === null ? null : await ensureCmpRoot(state, config, clock);
  const admin = stack.use(await serveAdmin({ ...shared, envoy, acmeSecrets, cmpRoot, credentials: credentials.listener }));
  const bundle = stack.use(await serveBundle({ ...shared, credentials: credentials.listener }));
  const bundleAddresses = {
    bundleSpiffe: addressOf(config.federation.spiffeListen, bundle.spiffe),
    bundleWeb: addressOf(config.federation.web?.listen ?? null, bundle.web),
  };
  const cmp = config.cmp === null || cmpRoot === null ? null : stack.use(await serveCmp({ ...shared, cmp: config.cmp, root: cmpRoot }));
  const cmpAddress = config.cmp === null || cmp === null ? null : portOf(config.cmp.listen, cmp.port);
  const ownListeners = (): HostPort[] => [
    portOf(config.listen.admin, admin.port),
    portOf(config.listen.dataPlane, dataPlane.port),
    portOf(config.listen.public, open.port),
    ...Object.values(bundleAddresses).filter((address) => address !== null),
    ...(cmpAddress === null ? [] : [cmpAddress]),
  ];
  const acme =
    config.acme === null || acmeSecrets === null
      ? null
      : stack.use(
          await serveAcme({
            ...shared,
            acme: config.acme,
            secrets: acmeSecrets,
            credentials: credentials.listener,
            ownListeners,
          }),
        );
  const est = config.est === null ? null : stack.use(await serveEst({ ...shared, est: config.est, credentials: credentials.listener }));
  const scep = config.scep === null ? null : stack.use(await serveScep({ ...shared, scep: config.scep }));
  stack.use(startReconcilers(shared));
  const otherListeners = (): HostPort[] => [
    ...(config.acme === null || acme === null ? [] : [portOf(config.acme.listen, acme.port)]),
    ...(config.est === null || est === null ? [] : [portOf(config.est.listen, est.port)]),
    ...(config.scep === null || scep === null ? [] : [portOf(config.scep.listen, scep.port)]),
  ];
  const everyListener = (): HostPort[] => [...ownListeners(), ...otherListeners()];
  stack.use(runExternal({ ...shared, ownListeners: everyListener }));
  stack.use(runFederation({ ...shared, ownListeners: everyListener }));
  const make = () => makeCredentials(state, authorities, config, clock);
  stack.use(
    renewCredentials({
      first: credentials,
      make,
      clock,
      log,
      use: ({ listener }) => [dataPlane, admin, acme, est, bundle].forEach((server) => server?.setCredentials(listener)),
    }),
  );
  const bootstrapFile = await offerBootstrap(state, config, clock);
  const running = stack.move();
  return {
    addresses: {
      admin: portOf(config.listen.admin, admin.port),
      dataPlane: portOf(config.listen.dataPlane, dataPlane.port),
      public: portOf(config.listen.public, open.port),
      acme: config.acme === null || acme === null ? null : portOf(config.acme.listen, acme.port),
      ...bundleAddresses,
      est: config.est === null || est === null ? null : portOf(config.est.listen, est.port),
      cmp: cmpAddress,
      scep: config.scep === null || scep === null ? null : portOf(config.scep.listen, scep.port),
    },
    bootstrapFile,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function countEntries(metrics: Metrics, staged: readonly StagedEntry[]): void {
  for (const { entry } of staged) metrics.add('countersign_log_entries_total', { type: entry.type });
  metrics.set('countersign_log_size', staged.at(-1)!.receipt.leafIndex + 1);
}

function addressOf(listen: HostPort | null, server: { readonly port: number } | null): HostPort | null {
  return listen === null || server === null ? null : portOf(listen, server.port);
}

/** The address with the port that the system chose where 0 was asked for. */
function portOf({ host }: HostPort, port: number): HostPort {
  return { host, port };
}

/** What clients pin: written at each start, so that it is there before the first question. */
async function writeRoots({ dataDirectory }: ServerConfig, { roots }: Authorities): Promise<void> {
  await writeWhole(join(dataDirectory, 'root.pem'), roots.map(({ der }) => encodePem('CERTIFICATE', der)).join(''), 0o644);
}

async function offerBootstrap(
  { database }: State,
  { dataDirectory, environment, region }: ServerConfig,
  clock: Clock,
): Promise<string | null> {
  if (!(await needsBootstrap(database.queries, clock.now()))) return null;
  const token = await createBootstrapToken({ database }, { environment, region }, clock.now());
  const file = join(dataDirectory, 'bootstrap.token');
  await writeWhole(file, `${token.reveal()}\n`, 0o600);
  // Somebody who sits at the machine may read it; a log collector may not.
  if (process.stdout.isTTY) process.stdout.write(`bootstrap token (one hour, one use): ${token.reveal()}\n`);
  return file;
}

async function writeWhole(file: string, content: string, mode: number): Promise<void> {
  const temporary = `${file}.tmp`;
  await writeFile(temporary, content, { mode });
  await chmod(temporary, mode);
  await rename(temporary, file);
}
