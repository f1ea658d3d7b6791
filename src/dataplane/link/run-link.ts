import { create } from '@bufbuild/protobuf';
import { EnrollmentService, RenewRequestSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import type { ProxySettings, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { pause } from '../../platform/clock/pause.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import { acceptChain } from './accept-chain.ts';
import { backoffMs } from './backoff.ts';
import { type HeldState, readHeldState } from './held-state.ts';
import type { HeldTrust } from './held-trust.ts';
import { judgeControlPlane } from './judge-control-plane.ts';
import type { LinkStatus } from './link-handlers.ts';
import { type LinkSession, openSession } from './link-session.ts';
import { subscriptionsOf } from './link-subscriptions.ts';
import type { LinkOptions } from './link-options.ts';
import type { CurrentCertificate } from './renewal-schedule.ts';
import { RenewalTimer } from './renewal-timer.ts';
import type { ConnectionOptions } from './judged-credentials.ts';
import { openRpcConnection, type RpcConnection } from './rpc-connection.ts';
import { StateSaver } from './state-saver.ts';
import type { AppliedVersions } from './subscription.ts';
import type { TelemetryBuffer } from './telemetry-buffer.ts';

export type RunLinkOptions = Required<LinkOptions> & { readonly identity: StoredIdentity; readonly buffer: TelemetryBuffer };

/** Reads what the state directory holds and starts the runner. @throws state-corrupt, state-permissions */
export async function runLink(options: RunLinkOptions): Promise<LinkRunner> {
  return new LinkRunner(options, await readHeldState(options));
}

/** Keeps one session up, and its certificate fresh. What arrives goes through one queue per type. */
export class LinkRunner {
  readonly #options: RunLinkOptions;
  readonly #trust: HeldTrust;
  readonly #federated: Map<string, TrustBundle>;
  readonly #stopped = new AbortController();
  readonly #applied: AppliedVersions = new Map();
  readonly #spoken = new Map<string, number>();
  #turn = 0;
  readonly #saver: StateSaver;
  readonly #done: Promise<void>;
  #identity: StoredIdentity;
  #session: LinkSession | null = null;
  #status: LinkStatus = { kind: 'connecting' };
  /** The last change under way, by kind. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #timer: RenewalTimer;
  #renewal: Promise<void> | null = null;

  constructor(options: RunLinkOptions, { trust, federated, cadence }: HeldState) {
    this.#federated = federated;
    this.#options = options;
    this.#identity = options.identity;
    this.#trust = trust;
    this.#saver = new StateSaver(options.log);
    this.#timer = new RenewalTimer(
      {
        ...options,
        certificate: () => this.#currentCertificate(),
        isConnected: () => this.#session !== null,
        renew: () => this.renew(),
      },
      cadence,
    );
    this.#done = this.#run();
  }

  identity(): StoredIdentity {
    return this.#identity;
  }

  status(): LinkStatus {
    return this.#status;
  }

  telemetryAdded(): void {
    this.#session?.telemetryAdded();
  }

  /** @throws control-plane-unreachable */
  connection(): RpcConnection {
    if (this.#session === null)
      throw new Problem('control-plane-unreachable', `Cannot call control plane: the link is ${this.#status.kind}`);
    return this.#session.connection;
  }

  readonly askAgain = (): void => this.#session?.destroy();

  /** Concurrent calls share one renewal. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
      this.#timer.schedule();
    });
    return this.#renewal;
  }

  /** Lets the last reports reach the control plane, for a bounded time, where it is there to take them. */
  async stop(): Promise<void> {
    await this.#flush();
    this.#stopped.abort();
    this.#timer.stop();
    this.#session?.destroy();
    this.#saver.stop();
    await this.#done;
    await Promise.all(this.#queues.values());
    this.#setStatus({ kind: 'closed' });
  }

  async #flush(): Promise<void> {
    if (this.#session === null || this.#options.buffer.size === 0) return;
    const done = new AbortController();
    await Promise.race([this.#options.buffer.emptied(), this.#session.ended, pause(FLUSH_WITHIN_MS, done.signal)]);
    done.abort();
  }

  async #run(): Promise<void> {
    let failures = 0;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        if (this.#session === null && this.#isLapsed()) await this.#renewLapsed();
        this.#session ??= await this.#connect();
        failures = 0;
        this.#setStatus({ kind: 'connected', since: this.#options.clock.now() });
        this.#timer.schedule();
        const watched: LinkSession = this.#session;
        const problem = await watched.ended;
        if (this.#session !== watched) continue;
        this.#session = null;
        throw problem;
      } catch (error) {
        this.#session = null;
        if (signal.aborted) return;
        this.#setOffline(error);
        await pause(backoffMs(failures++, this.#options.random(), RECONNECT), signal);
      }
    }
  }

  #connect(): Promise<LinkSession> {
    const { log, state, handlers, buffer } = this.#options;
    const identity = this.#identity;
    let serverChain: readonly Uint8Array[] = [];
    return openSession({
      connection: this.#connectionAs(identity, (chain) => (serverChain = chain)),
      subscriptions: {
        subscriptions: subscriptionsOf({
          identity,
          state,
          handlers,
          saver: this.#saver,
          federated: this.#federated,
          objection: (bundle) => this.#objectionTo(bundle, serverChain),
          accepted: {
            trustBundle: (bundle) => this.#trust.setBundle(bundle),
            revokedSet: (set) => {
              this.#trust.setRevoked(set);
              this.#judgeAgain(serverChain);
            },
            settings: (settings) => this.#settingsAccepted(settings),
          },
        }),
        applied: this.#applied,
        turn: ++this.#turn,
        spoken: this.#spoken,
        log,
        inOrder: (typeUrl, change) => this.#inOrder(typeUrl, change),
      },
      buffer,
      log,
    });
  }

  #connectionAs({ chain, privateKey: key }: StoredIdentity, judged: (serverChain: readonly Uint8Array[]) => void): ConnectionOptions {
    const { control, clock } = this.#options;
    const judge = (serverChain: readonly Uint8Array[]): void => {
      judged(serverChain);
      judgeControlPlane(clock.now(), this.#trust.controlPlaneTrust(), serverChain);
    };
    return { control, certificate: { chain, key }, judge, signal: this.#stopped.signal };
  }

  #isLapsed(): boolean {
    return this.#options.clock.now() > this.#currentCertificate().notAfter;
  }

  /** Past the certificate's end a connection is good for its renewal alone, and for that within the grace of its profile. */
  async #renewLapsed(): Promise<void> {
    const connection = await openRpcConnection(this.#connectionAs(this.#identity, () => {}));
    try {
      await this.#takeSuccessor(connection);
    } finally {
      connection.destroy();
    }
  }

  /** A bundle under which the control plane that sent it is a stranger would cut this data plane off for good. */
  #objectionTo(bundle: TrustBundle, serverChain: readonly Uint8Array[]): string | null {
    try {
      judgeControlPlane(this.#options.clock.now(), this.#trust.trustUnder(bundle), serverChain);
      return null;
    } catch (error) {
      return `the control plane itself does not verify under this bundle: ${error instanceof Error ? error.message : ''}`;
    }
  }

  /** The connection to a control plane whose certificate was just revoked is not kept until it breaks by itself. */
  #judgeAgain(serverChain: readonly Uint8Array[]): void {
    try {
      judgeControlPlane(this.#options.clock.now(), this.#trust.controlPlaneTrust(), serverChain);
    } catch (error) {
      this.#options.log('warn', 'link.control-plane-fell', { error });
      this.#session?.destroy();
    }
  }

  #inOrder<T>(kind: string, change: () => Promise<T>): Promise<T> {
    const result = (this.#queues.get(kind) ?? Promise.resolve()).then(change);
    this.#queues.set(
      kind,
      result.catch(() => {}),
    );
    return result;
  }

  async #settingsAccepted({ certificate }: ProxySettings): Promise<void> {
    if (certificate === undefined) return;
    if (this.#identity.renewalEpoch === null) {
      // The certificate is as new as the join, so it answers the epoch that the first settings name.
      await this.#inOrder('identity', async () => {
        this.#identity = { ...this.#identity, renewalEpoch: certificate.renewalEpoch };
        await this.#options.state.writeIdentity(this.#identity);
      });
    }
    this.#timer.heard(certificate);
  }

  #currentCertificate(): CurrentCertificate {
    const { notBefore, notAfter } = parseCertificate(this.#identity.chain[0]!);
    return { notBefore, notAfter, renewalEpoch: this.#identity.renewalEpoch };
  }

  async #renew(): Promise<void> {
    await this.#takeSuccessor(this.connection());
    await this.#replaceSession();
  }

  async #takeSuccessor(connection: RpcConnection): Promise<void> {
    const { clock, state, handlers, log } = this.#options;
    const renewalEpoch = this.#timer.epoch ?? this.#identity.renewalEpoch;
    const privateKey = await makePrivateKey();
    const csr = buildCertificateRequest({ uris: [this.#identity.spiffeId], dnsNames: [], ipAddresses: [] }, privateKey);
    const request = create(RenewRequestSchema, { csr, renewalEpoch: renewalEpoch ?? 0n });
    const { chain } = await connection.call(EnrollmentService.method.renew, request);
    const leaf = acceptChain(clock.now(), { chain, roots: this.#trust.roots(), spiffeId: this.#identity.spiffeId, privateKey });
    await this.#inOrder('identity', async () => {
      const identity: StoredIdentity = { ...this.#identity, privateKey, chain, renewalEpoch };
      await state.writeIdentity(identity);
      this.#identity = identity;
      await handlers.onIdentity(identity);
    });
    this.#timer.succeeded();
    log('info', 'link.certificate-renewed', { serial: leaf.serialHex, notAfter: leaf.notAfter });
  }

  /** Make before break: the new certificate's connection is admitted before the old one ends. */
  async #replaceSession(): Promise<void> {
    const old = this.#session;
    if (old === null || this.#stopped.signal.aborted) return;
    try {
      const next = await this.#connect();
      if (this.#session !== old) return next.destroy();
      this.#session = next;
      old.drain();
    } catch (error) {
      // The old certificate is still good; the next reconnect takes the new one.
      this.#options.log('warn', 'link.replacement-failed', { error });
    }
  }

  #setOffline(error: unknown): void {
    const problem = error instanceof Problem ? error : new Problem('internal', String(error), { cause: error });
    const { code, message } = problem;
    this.#options.log('warn', 'link.offline', { problem: code, detail: message });
    this.#setStatus({ kind: 'offline', since: this.#options.clock.now(), problem: code, detail: message });
  }

  #setStatus(status: LinkStatus): void {
    this.#status = status;
    this.#options.handlers.onStatus?.(status);
  }
}

/** A report is acknowledged when it is on disk, within a group commit or two. */
const FLUSH_WITHIN_MS = 1_000;
const RECONNECT = { firstMs: 100, mostMs: 5_000 };
