import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type OcspStaple,
  OcspStapleSchema,
  type ProxySettings,
  ProxySettingsSchema,
  type RevokedSet,
  RevokedSetSchema,
  type TicketKeys,
  TicketKeysSchema,
  type TrustBundle,
  TrustBundleSchema,
  TrustBundlesSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { TelemetryReportSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import { encodeIdentity, type StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import { ACCEPTED, type Acknowledgement } from '../link/link-handlers.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import type { TrafficPlane } from '../proxy/traffic-plane.ts';
import { type ProxyPorts, parseProxySettings } from '../tls/proxy-settings.ts';
import { requirePlane } from '../tls/require-plane.ts';
import type { SeenKeysOptions } from '../tls/seen-keys.ts';
import { makeTicketKeys } from '../tls/ticket-keys.ts';
import { keepWorker } from './keep-worker.ts';
import { MergedReports } from './merged-reports.ts';
import { PortClaims, requireSharedPorts } from './port-claims.ts';
import { type TrialPatience, WorkerGroup } from './worker-group.ts';
import { UseExchange } from './use-exchange.ts';
import type { WorkerChange } from './worker-order.ts';
import { type Asked, FIRST_INHERITED, WorkerProcess } from './worker-process.ts';

export type WorkerPoolOptions = {
  readonly identity: StoredIdentity;
  readonly workers: number;
  readonly clock: Clock;
  readonly log: Log;
  /** What third parties have, over restarts of workers and of the proxy. */
  readonly seen: SeenKeysOptions;
  /** Sockets that this process was given, by the address that they are bound to. */
  readonly inherited: ReadonlyMap<string, number>;
};

/** Null: nobody is left to say; it is asked for again. */
type Change = (patience: TrialPatience) => Promise<Acknowledgement | null>;

/** Resolves when the workers run, without settings yet. @throws state-conflict if none does */
export async function openWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  requireSharedPorts();
  const pool = new WorkerPool(options);
  if (await pool.begun) return pool;
  await pool.stop(0);
  throw new Problem('state-conflict', 'Cannot run workers: none of them started; the log has the reasons');
}

/**
 * Carries a proxy's traffic in several processes. They share ports, settings and ticket keys; this process carries nothing itself.
 * A change is acknowledged when all that serve have it in force; a revocation waits for nothing but the workers' word.
 */
export class WorkerPool implements TrafficPlane {
  readonly #options: WorkerPoolOptions;
  readonly #claims: PortClaims;
  readonly #group = new WorkerGroup();
  readonly #reports = new MergedReports();
  readonly #exchange = new UseExchange<WorkerProcess>();
  readonly #turns: NodeJS.Timeout;
  readonly #stopped = new AbortController();
  readonly #all = new Set<WorkerProcess>();
  readonly #kept: Promise<unknown>;
  /** Settles with the first start of each: true if any serves. */
  readonly begun: Promise<boolean>;
  /** What those said last that were told to stop. */
  #last: readonly Asked[] = [];
  #changes: Promise<unknown> = Promise.resolve();
  readonly #seen: Map<string, ReadonlySet<string>>;
  #settings: ProxyPorts | null = null;
  #windowStart: Instant;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#seen = new Map(options.seen.known);
    this.#claims = new PortClaims(options.inherited);
    this.#windowStart = options.clock.now();
    const { spiffeId } = options.identity;
    const { sealing, accepted } = makeTicketKeys();
    // Sessions resume at every worker from the first on, whether the control plane delivers keys or not.
    const keys = create(TicketKeysSchema, { spiffeId, sealing, accepted: [...accepted] });
    this.#group.note({ kind: 'ticket-keys', octets: toBinary(TicketKeysSchema, keys) });
    this.#group.note({ kind: 'identity', octets: encodeIdentity(options.identity) });
    const firsts = Array.from({ length: options.workers }, () => Promise.withResolvers<void>());
    this.#kept = Promise.all(firsts.map(({ resolve }, index) => this.#keep(index, resolve)));
    this.#turns = setInterval(() => this.#exchange.turn(this.#group.serving).forEach((use, worker) => worker.tellUse(use)), TURN_MS);
    this.begun = Promise.all(firsts.map(({ promise }) => promise)).then(() => this.pids.length > 0);
  }

  get telemetryIntervalMs(): number {
    return this.#settings?.telemetryIntervalMs ?? DEFAULT_TELEMETRY_MS;
  }

  /** The processes that serve now. */
  get pids(): readonly number[] {
    return this.#group.serving.map(({ pid }) => pid);
  }

  applySettings(wire: ProxySettings, { isLastGood = false } = {}): Promise<Acknowledgement> {
    return this.#everywhere(async (patience) => {
      requirePlane(wire, 'native');
      const settings = parseProxySettings(wire);
      const ports = [...settings.inbound, ...settings.outbound, ...settings.passthrough];
      const settle = this.#claims.claim(ports.map(({ listen }) => listen));
      const answer = await this.#group.putInForce({ kind: 'settings', octets: toBinary(ProxySettingsSchema, wire), isLastGood }, patience);
      settle(answer?.kind === 'accepted');
      if (answer?.kind === 'accepted') this.#settings = settings;
      return answer;
    });
  }

  applyTrustBundle(bundle: TrustBundle): Promise<Acknowledgement> {
    return this.#change({ kind: 'trust', octets: toBinary(TrustBundleSchema, bundle) });
  }

  applyFederatedBundles(bundles: readonly TrustBundle[]): Promise<Acknowledgement> {
    const octets = toBinary(TrustBundlesSchema, create(TrustBundlesSchema, { bundles: [...bundles] }));
    return this.#change({ kind: 'federated', octets });
  }

  applyTicketKeys(keys: TicketKeys): Promise<Acknowledgement> {
    return this.#change({ kind: 'ticket-keys', octets: toBinary(TicketKeysSchema, keys) });
  }

  applyStaple(staple: OcspStaple): Promise<Acknowledgement> {
    return this.#change({ kind: 'staple', octets: toBinary(OcspStapleSchema, staple) });
  }

  async applyRevokedSet(set: RevokedSet): Promise<Acknowledgement> {
    await this.#group.spread({ kind: 'revoked', octets: toBinary(RevokedSetSchema, set) });
    return ACCEPTED;
  }

  async applyIdentity(identity: StoredIdentity): Promise<void> {
    orThrow(await this.#change({ kind: 'identity', octets: encodeIdentity(identity) }));
  }

  async applyServerAnchors(anchors: readonly Certificate[] | null): Promise<void> {
    orThrow(await this.#change({ kind: 'anchors', ders: anchors?.map(({ der }) => der) ?? null }));
  }

  async applyClientCertificates(held: readonly ClientCertificate[]): Promise<void> {
    orThrow(await this.#change({ kind: 'client-certificates', held }));
  }

  async takeReport(): Promise<TelemetryContent> {
    const last = this.#last;
    this.#last = [];
    const asked = await Promise.all(this.#group.serving.map((worker) => worker.ask({ kind: 'report' }, REPORT_WITHIN_MS)));
    const windowStartMs = BigInt(this.#windowStart);
    this.#windowStart = this.#options.clock.now();
    return { windowStartMs, windowEndMs: BigInt(this.#windowStart), ...this.#reports.merge([...last, ...asked].flatMap(contentOf)) };
  }

  async stop(withinMs: number): Promise<void> {
    this.#stopped.abort();
    await this.#inOrder(async () => {
      const { told } = this.#group;
      for (const worker of this.#all) if (!told.includes(worker)) worker.kill('it is not needed any more');
      this.#last = await Promise.all(told.map((worker) => worker.ask({ kind: 'stop', withinMs }, withinMs + STOP_SLACK_MS)));
    });
    await this.#kept;
    clearInterval(this.#turns);
    this.#claims.releaseAll();
  }

  /** Workers may tell the same one after another. */
  readonly #saw: SeenKeysOptions['onNews'] = (endpointId, keys) => {
    this.#seen.set(endpointId, keys);
    this.#options.seen.onNews(endpointId, keys);
  };

  #keep(index: number, onFirst: () => void): Promise<void> {
    return keepWorker({
      index,
      start: () => this.#start(index).finally(onFirst),
      serving: () => this.pids.length,
      log: this.#options.log,
      signal: this.#stopped.signal,
    });
  }

  async #start(index: number): Promise<WorkerProcess> {
    const given = [...this.#claims.inherited.keys()];
    const worker: WorkerProcess = new WorkerProcess([...this.#claims.inherited.values()], {
      onSeen: this.#saw,
      // What was under way when it ended would be counted as open for ever.
      onUse: (use) => this.#all.has(worker) && this.#exchange.hear(worker, use),
    });
    this.#all.add(worker);
    void worker.ended.then(() => {
      this.#all.delete(worker);
      this.#exchange.forget(worker);
    });
    if (!(await worker.ready)) return worker;
    await this.#inOrder(async () => {
      if (this.#stopped.signal.aborted) worker.kill('it is not needed any more');
      else if (await this.#group.admit(worker, { index, seen: this.#seen, ...this.#descriptorsOf(given) }))
        this.#options.log('info', 'worker serves', { worker: index, workerPid: worker.pid });
    });
    return worker;
  }

  /** What became of the sockets that a worker was made with, in its own numbers. */
  #descriptorsOf(given: readonly string[]): { readonly inherited: ReadonlyMap<string, number>; readonly unwanted: readonly number[] } {
    const all = given.map((address, at) => [address, FIRST_INHERITED + at] as const);
    const isWanted = ([address]: readonly [string, number]): boolean => this.#claims.inherited.has(address);
    return { inherited: new Map(all.filter(isWanted)), unwanted: all.filter((one) => !isWanted(one)).map(([, descriptor]) => descriptor) };
  }

  #change(change: WorkerChange): Promise<Acknowledgement> {
    return this.#everywhere((patience) => this.#group.putInForce(change, patience));
  }

  /** Waits until a worker serves, since nobody else can say what a change would do. */
  async #everywhere(change: Change): Promise<Acknowledgement> {
    const patience = { lost: 0 };
    for (;;) {
      await this.#group.untilServing(this.#stopped.signal);
      if (this.#stopped.signal.aborted) return { kind: 'refused', reason: 'the proxy stops' };
      const answer = await this.#inOrder(async () => (this.pids.length === 0 ? null : this.#orRefuse(() => change(patience))));
      if (answer !== null) return answer;
    }
  }

  async #orRefuse(change: () => ReturnType<Change>): ReturnType<Change> {
    try {
      return await change();
    } catch (error) {
      this.#options.log('error', 'change refused', { error });
      return { kind: 'refused', reason: error instanceof Problem ? error.message : 'it failed inside; the log has the reason' };
    }
  }

  #inOrder<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => {});
    return result;
  }
}

function contentOf(asked: Asked): readonly TelemetryContent[] {
  return asked.kind === 'report' ? [fromBinary(TelemetryReportSchema, asked.octets)] : [];
}

/** @throws state-conflict with the reason of a refusal */
function orThrow(answer: Acknowledgement): void {
  if (answer.kind === 'refused') throw new Problem('state-conflict', answer.reason);
}

const DEFAULT_TELEMETRY_MS = 1_000;
/** A worker that has no time to say what it counted has none for callers either. */
const REPORT_WITHIN_MS = 15_000;
/** How often workers hear what the others use of limits that hold for all. */
const TURN_MS = 100;
const STOP_SLACK_MS = 5_000;
