import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { compileEnvoy } from '../../src/core/envoy/compile-envoy.ts';
import { preflight } from '../../src/core/envoy/preflight.ts';
import { Plane, type ProxySettingsSchema } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import type { TelemetryReport } from '../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';
import { SETTINGS_TYPE } from '../../src/core/messages/type-urls.ts';
import { type RunningProxy, runProxy } from '../../src/dataplane/proxy/run-proxy.ts';
import { ManualClock, systemClock } from '../../src/platform/clock/clock.ts';
import type { Acknowledged } from '../../src/protocols/xds/resource-source.ts';
import { type EnvoyProcess, startEnvoy } from './envoy-process.ts';
import { openSocketRelay, type SocketRelay } from './socket-relay.ts';
import { startTestControlPlane, TRUST_DOMAIN } from './test-control-plane.ts';

/** A service of HTTP that says which paths it was asked for. */
export async function startOrigin(): Promise<{ readonly port: number; readonly asked: string[]; close(): void }> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url!);
    response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The real protocols of a control plane, a companion, and a real Envoy beside it. Each can be stopped and started again. */
export async function openEnvoyBeside(takenWithinMs = 8_000) {
  const clock = new ManualClock(Date.now());
  const envoyResources = {
    compile: compileEnvoy,
    preflight: (resources: Parameters<typeof preflight>[1]) =>
      preflight(Date.now(), resources).map(({ resource: { typeUrl, name }, reason }) => ({ typeUrl, name, reason })),
  };
  const control = await startTestControlPlane({ clock, envoy: envoyResources });
  const { state, proxyId, spiffeId } = await control.joined('orders');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-beside-'));
  const bootstrapFile = join(folder, 'envoy.json');
  const places = { sdsPath: join(folder, 'sds.sock'), adminPath: join(folder, 'admin.sock'), bootstrapFile };
  const limits = { takenWithinMs, lookAgainMs: 100 };
  const run = (): Promise<RunningProxy> =>
    runProxy({
      control: control.control,
      state,
      joinToken: null,
      upstreamTrustFile: null,
      clock: systemClock,
      log: control.log,
      envoy: { ...places, limits },
      env: {},
    });
  let companion: RunningProxy = await run();
  let envoy: EnvoyProcess | null = null;
  const relays: SocketRelay[] = [];
  return {
    control,
    places,
    proxyId,
    spiffeId,
    get companion() {
      return companion;
    },
    startEnvoy(): void {
      envoy = startEnvoy(bootstrapFile);
    },
    /** The same, with a relay on its way to the companion. */
    async startEnvoyBehindRelay(): Promise<SocketRelay> {
      const path = join(folder, 'relay.sock');
      const relay = await openSocketRelay(path, places.sdsPath);
      relays.push(relay);
      const relayed = join(folder, 'relayed.json');
      await writeFile(relayed, (await readFile(bootstrapFile, 'utf8')).replaceAll(places.sdsPath, path));
      envoy = startEnvoy(relayed);
      return relay;
    },
    async killEnvoy(): Promise<void> {
      await envoy?.kill();
    },
    envoySaid: (): string => envoy?.said() ?? '',
    async restartCompanion(): Promise<void> {
      await companion.stop(0);
      companion = await run();
    },
    /** Puts settings there and resolves with the companion's answer. */
    async apply(generation: bigint, ports: MessageInitShape<typeof ProxySettingsSchema>): Promise<Acknowledged> {
      for (const { endpointId } of ports.inbound ?? []) control.scope.serves.add(endpointId!);
      for (const { endpointId } of ports.outbound ?? []) control.scope.calls.add(endpointId!);
      control.setSettings(proxyId, spiffeId, generation, {
        trustDomain: TRUST_DOMAIN,
        plane: Plane.ENVOY,
        telemetryIntervalMs: 100,
        ...ports,
      });
      return control.acknowledgement(SETTINGS_TYPE, ({ version }) => version === generation.toString());
    },
    /** The first report that comes from now on and fits. */
    async reportOf(fits: (report: TelemetryReport) => boolean): Promise<TelemetryReport> {
      for (;;) {
        const [report] = (await once(control.events, 'report', { signal: AbortSignal.timeout(20_000) })) as [TelemetryReport];
        if (fits(report)) return report;
      }
    },
    /** Everything that was done until now is reported, or known to be lost. */
    async reportedUntil(instant: number): Promise<void> {
      while (!control.reports.some(({ windowEndMs }) => Number(windowEndMs) > instant))
        await once(control.events, 'report', { signal: AbortSignal.timeout(20_000) });
    },
    async [Symbol.asyncDispose]() {
      await companion.stop(0);
      await envoy?.[Symbol.asyncDispose]();
      for (const relay of relays) await relay[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** Looks often until it is so, for a bounded time. */
export async function until<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > deadline) throw new Error(`${what} did not come about`);
    await pause(20);
  }
}
