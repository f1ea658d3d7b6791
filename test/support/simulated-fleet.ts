import { create, fromBinary } from '@bufbuild/protobuf';
import type { StagedEntry } from '../../src/control/audit/entry.ts';
import { readSettings } from '../../src/control/fleet/store.ts';
import { recordAcknowledgement } from '../../src/control/fleet/record-acknowledgement.ts';
import { reconcileSettings } from '../../src/control/fleet/reconcile.ts';
import { readProxyScopes } from '../../src/control/fleet/proxy-scopes.ts';
import { applyDeclaration } from '../../src/control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../../src/control/inventory/parse-declaration.ts';
import type { ProxyRecord } from '../../src/control/inventory/record.ts';
import { listDeclaredProxies, listEndpoints, listPaths } from '../../src/control/inventory/store.ts';
import { makeFleetPort } from '../../src/control/rollouts/make-fleet-port.ts';
import { readEndpointsAwaitingDrills } from '../../src/control/rollouts/read-rollout.ts';
import { reconcile, type RolloutDeps } from '../../src/control/rollouts/reconcile.ts';
import { readLatchedEndpoints } from '../../src/control/rollouts/store.ts';
import { ingestReport, openTelemetryIngest } from '../../src/control/telemetry/ingest-report.ts';
import { drillReasons, type DrillRunKind, POSITIVE_DRILL } from '../../src/core/findings/drill-kind.ts';
import { parseTrustDomain } from '../../src/core/identity/trust-domain.ts';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import { Mode, Origination, ProxySettingsSchema } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import {
  Channel,
  Outcome,
  type PathCount,
  PathCountSchema,
  Side,
  TelemetryReportSchema,
  Unit,
} from '../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { DrillFacts } from '../../src/core/rollout/rollout-facts.ts';
import type { Instant } from '../../src/core/time/instant.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import type { RefusalReason } from '../../src/core/tls/refusal-reason.ts';

const environment = 'prod';
const place = { trustDomain: parseTrustDomain('acme.example'), environment, region: 'local' };
export const operator = { kind: 'person', name: 'ada' } as const;

/**
 * The control plane's real slices over a real database, and proxies that do what their settings say: they acknowledge, call each other
 * twenty times a second and report what happened, by the clock of the test.
 */
export async function openSimulatedFleet(url: string, declarations: string) {
  const entries: StagedEntry['entry'][] = [];
  const database = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => void entries.push(...staged.map(({ entry }) => entry)),
  });
  const { queries } = database;
  const signal = makeSignal();
  let now: Instant = 1_800_000_000_000;
  let sequence = 0n;
  /** What a test breaks: by caller and endpoint name, why its calls over mutual TLS fail; proxies by name that say nothing. */
  const broken = new Map<string, RefusalReason>();
  const silent = new Set<string>();
  /** Anonymous plaintext calls a second at an endpoint, from nobody's proxy. */
  const impostors = new Map<string, number>();
  const drills = new Map<EntityId<'endpoint'>, DrillFacts>();
  const fleet = makeFleetPort(async () => drills);
  const deps: RolloutDeps = { database, fleet, modesChanged: signal };
  let ingest = openTelemetryIngest({ database, readScopes: readProxyScopes, changed: signal });
  const seen = { failed: 0, refused: 0, plaintext: 0 };

  const apply = (text: string) => applyDeclaration({ database, place, changed: signal }, parseDeclaration(text), operator, now);
  await apply(declarations);

  const runProxies = async (): Promise<void> => {
    const proxies = (await listDeclaredProxies(queries, '*')).filter(({ name }) => !silent.has(name));
    const names = new Map((await listEndpoints(queries, '*')).map(({ id, name }) => [id, name]));
    const running = new Map<string, Running>();
    for (const proxy of proxies) {
      const held = await readSettings(queries, proxy.id);
      if (held === null) continue;
      await recordAcknowledgement({ database, answered: signal }, { proxyId: proxy.id, generation: held.generation }, now);
      running.set(proxy.id, { proxy, settings: fromBinary(ProxySettingsSchema, held.octets), counts: [] });
    }
    for (const caller of running.values()) call(caller, running, names);
    for (const receiver of running.values()) receiveImpostors(receiver, names);
    for (const { proxy, counts } of running.values()) {
      const report = create(TelemetryReportSchema, {
        bootId: 'boot',
        sequence: ++sequence,
        windowStartMs: BigInt(now - 1_000),
        windowEndMs: BigInt(now),
        counts: [...counts],
      });
      await ingestReport(ingest, { proxyId: proxy.id, spiffeId: proxy.spiffeId, environment }, report, now);
    }
  };

  const call = ({ proxy, settings, counts }: Running, running: ReadonlyMap<string, Running>, names: ReadonlyMap<string, string>): void => {
    for (const outbound of settings.outbound) {
      const common = { endpointId: outbound.endpointId, generation: settings.generation, unit: Unit.CALL, count: CALLS };
      const receiver = [...running.values()].find((other) =>
        other.settings.inbound.some(({ endpointId }) => endpointId === outbound.endpointId),
      );
      const inbound = receiver?.settings.inbound.find(({ endpointId }) => endpointId === outbound.endpointId);
      if (receiver === undefined || inbound === undefined) continue;
      const secure = outbound.origination === Origination.MTLS;
      const why = secure ? broken.get(`${proxy.name}>${names.get(inbound.endpointId as EntityId<'endpoint'>)}`) : undefined;
      const channel = secure ? Channel.MTLS : Channel.PLAINTEXT;
      const asCaller = { ...common, side: Side.CALLER, caller: proxy.spiffeId, channel };
      if (why !== undefined) {
        counts.push(create(PathCountSchema, { ...asCaller, outcome: Outcome.FAILED, reason: why }));
        seen.failed += Number(CALLS);
        continue;
      }
      const rule = inbound.callers.find(({ spiffeId }) => secure && spiffeId === proxy.spiffeId);
      const mode = rule?.mode ?? (secure ? inbound.strangerMode : inbound.anonymousMode);
      const isGood = rule !== undefined;
      const refused = !isGood && mode === Mode.ENFORCE;
      if (refused) seen.refused += Number(CALLS);
      if (!secure) seen.plaintext += Number(CALLS);
      const reason = isGood ? '' : secure ? 'wrong-identity' : 'plaintext';
      const outcome = isGood ? Outcome.ACCEPTED : refused ? Outcome.REFUSED : Outcome.WOULD_REFUSE;
      counts.push(
        create(PathCountSchema, {
          ...asCaller,
          outcome: refused ? Outcome.FAILED : Outcome.ACCEPTED,
          reason: refused ? 'upstream-broken' : '',
        }),
      );
      receiver.counts.push(
        create(PathCountSchema, { ...common, side: Side.RECEIVER, caller: secure ? proxy.spiffeId : '', channel, outcome, reason }),
      );
    }
  };

  const receiveImpostors = ({ settings, counts }: Running, names: ReadonlyMap<string, string>): void => {
    for (const { endpointId, anonymousMode, anonymousExceptions } of settings.inbound) {
      // They ask for what the first exception names, as long as there is one.
      const exception = anonymousExceptions.find(({ untilMs }) => untilMs > now)?.name ?? null;
      const outcome = anonymousMode === Mode.ENFORCE ? Outcome.REFUSED : Outcome.WOULD_REFUSE;
      const count = impostors.get(names.get(endpointId) ?? '');
      if (count === undefined) continue;
      counts.push(
        create(PathCountSchema, {
          side: Side.RECEIVER,
          endpointId,
          generation: settings.generation,
          channel: Channel.PLAINTEXT,
          unit: Unit.CALL,
          ...(exception === null ? { outcome, reason: 'plaintext' } : { outcome: Outcome.EXCEPTED, exception }),
          count: BigInt(count),
        }),
      );
    }
  };

  /** What the scanner would do: every drill is refused. */
  const runDrills = async (): Promise<void> => {
    const kinds = [POSITIVE_DRILL, ...Object.keys(drillReasons)] as DrillRunKind[];
    for (const { endpointId } of await readEndpointsAwaitingDrills(queries, environment)) {
      drills.set(endpointId, { startedAt: now, verdicts: new Map(kinds.map((kind) => [kind, { kind: 'proven' }])) });
    }
  };

  return {
    database,
    queries,
    deps,
    entries,
    broken,
    silent,
    impostors,
    seen,
    apply,
    now: () => now,
    /** One second of the fleet. With `restart`, everything that the control plane held in memory is gone first. */
    async second({ restart = false, reconcilers = 1 }: { readonly restart?: boolean; readonly reconcilers?: number } = {}) {
      now += 1_000;
      if (restart) ingest = openTelemetryIngest({ database, readScopes: readProxyScopes, changed: signal });
      await runProxies();
      await Promise.all(Array.from({ length: reconcilers }, () => reconcile({ ...deps }, now)));
      await reconcileSettings({ database, trustDomain: place.trustDomain, readLatched: readLatchedEndpoints, changed: signal }, now);
      await runDrills();
    },
    async pathModes(): Promise<Record<string, string>> {
      const names = new Map((await listEndpoints(queries, '*')).map(({ id, name }) => [id, name]));
      const modes = await queries
        .withTables<{ path_modes: { path_id: string; receiver_mode: string; origination: string } }>()
        .selectFrom('path_modes')
        .selectAll()
        .execute();
      const paths = new Map((await listPaths(queries, '*')).map((path) => [path.id as string, path]));
      return Object.fromEntries(
        modes.flatMap((mode): [string, string][] => {
          const path = paths.get(mode.path_id);
          // The modes of a path that is gone stay behind.
          if (path === undefined) return [];
          return [[`${path.caller.split('/').at(-1)}>${names.get(path.endpointId)}`, `${mode.receiver_mode} ${mode.origination}`]];
        }),
      );
    },
    /** What the settings say of whom the endpoint refuses. */
    async inboundModes(name: string): Promise<{ readonly anonymous: Mode; readonly stranger: Mode; readonly callers: readonly Mode[] }> {
      const endpoint = (await listEndpoints(queries, '*')).find((known) => known.name === name)!;
      const proxy = (await listDeclaredProxies(queries, '*')).find(({ inbound }) =>
        inbound.some(({ endpointId }) => endpointId === endpoint.id),
      )!;
      const { inbound } = fromBinary(ProxySettingsSchema, (await readSettings(queries, proxy.id))!.octets);
      const { anonymousMode, strangerMode, callers } = inbound.find(({ endpointId }) => endpointId === endpoint.id)!;
      return { anonymous: anonymousMode, stranger: strangerMode, callers: callers.map(({ mode }) => mode) };
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

type Running = {
  readonly proxy: ProxyRecord;
  readonly settings: ReturnType<typeof fromBinary<typeof ProxySettingsSchema>>;
  readonly counts: PathCount[];
};

const CALLS = 20n;
