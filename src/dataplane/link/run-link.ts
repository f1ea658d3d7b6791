import { create } from '@bufbuild/protobuf';
import { EnrollmentService, RenewRequestSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import type { CertificateCadence, ProxySettings } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import { acceptChain } from './accept-chain.ts';
import { backoffMs } from './backoff.ts';
import { openHeldTrust, type HeldTrust } from './held-trust.ts';
import { judgeControlPlane } from './judge-control-plane.ts';
import type { LinkStatus } from './link-handlers.ts';
import { type LinkSession, openSession } from './link-session.ts';
import { subscriptionsOf } from './link-subscriptions.ts';
import type { LinkOptions } from './link-options.ts';
import { renewalDueAt } from './renewal-schedule.ts';
import type { RpcConnection } from './rpc-connection.ts';
import type { AppliedVersions } from './subscription.ts';
import type { TelemetryBuffer } from './telemetry-buffer.ts';

export type RunLinkOptions = Required<LinkOptions> & { readonly identity: StoredIdentity; readonly buffer: TelemetryBuffer };

/** Reads what the state directory holds and starts the runner. @throws state-corrupt, state-permissions */
export async function runLink(options: RunLinkOptions): Promise<LinkRunner> {
  const trust = openHeldTrust(options.identity, await options.state.readTrustBundle(), await options.state.readRevokedSet());
  const settings = await options.state.readSettings();
  return new LinkRunner(options, trust, settings?.certificate ?? null);
}

/** Keeps one session up, and its certificate fresh. What arrives goes through one queue per type. */
export class LinkRunner {
  readonly #options: RunLinkOptions;
  readonly #trust: HeldTrust;
  readonly #stopped = new AbortController();
  readonly #applied: AppliedVersions = new Map();
  readonly #done: Promise<void>;
  #identity: StoredIdentity;
  #session: LinkSession | null = null;
  #status: LinkStatus = { kind: 'connecting' };
  /** The last change under way, by kind. */
  readonly #queues = new Map<string, Promise<unknown>>();
  #cadence: CertificateCadence | null;
  #cadenceHeardAt: Instant;
  /** This data plane's place in the smear of a renewal, drawn once for each epoch. */
  #share: number;
  #renewal: Promise<void> | null = null;
  #renewalTimer: NodeJS.Timeout | null = null;
  #renewalFailures = 0;
  #retryRenewalAt: Instant = 0;

  constructor(options: RunLinkOptions, trust: HeldTrust, cadence: CertificateCadence | null) {
    this.#options = options;
    this.#identity = options.identity;
    this.#trust = trust;
    this.#cadence = cadence;
    this.#cadenceHeardAt = options.clock.now();
    this.#share = options.random();
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

  /** Concurrent calls share one renewal. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
      this.#scheduleRenewal();
    });
    return this.#renewal;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    if (this.#renewalTimer !== null) clearTimeout(this.#renewalTimer);
    this.#session?.destroy();
    await this.#done;
    await Promise.all(this.#queues.values());
    this.#setStatus({ kind: 'closed' });
  }

  async #run(): Promise<void> {
    let failures = 0;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        this.#session ??= await this.#connect();
        failures = 0;
        this.#setStatus({ kind: 'connected', since: this.#options.clock.now() });
        this.#scheduleRenewal();
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
    const { control, clock, log, state, handlers, buffer } = this.#options;
    const identity = this.#identity;
    return openSession({
      connection: {
        control,
        certificate: { chain: identity.chain, key: identity.privateKey },
        judge: (chain) => judgeControlPlane(clock.now(), this.#trust.controlPlaneTrust(), chain),
        signal: this.#stopped.signal,
      },
      subscriptions: {
        subscriptions: subscriptionsOf({
          identity,
          state,
          handlers,
          accepted: {
            trustBundle: (bundle) => this.#trust.setBundle(bundle),
            revokedSet: (set) => this.#trust.setRevoked(set),
            settings: (settings) => this.#settingsAccepted(settings),
          },
        }),
        applied: this.#applied,
        log,
        inOrder: (typeUrl, change) => this.#inOrder(typeUrl, change),
      },
      buffer,
      log,
    });
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
    if (certificate.renewalEpoch !== this.#cadence?.renewalEpoch) {
      this.#cadenceHeardAt = this.#options.clock.now();
      this.#share = this.#options.random();
      this.#retryRenewalAt = 0;
    }
    this.#cadence = certificate;
    this.#scheduleRenewal();
  }

  /** Looks at the clock at least every half minute: a machine that slept, or whose clock was set, renews late by no more than that. */
  #scheduleRenewal(): void {
    if (this.#renewalTimer !== null) clearTimeout(this.#renewalTimer);
    if (this.#stopped.signal.aborted) return;
    const wait = Math.min(MAXIMUM_TIMER_MS, Math.max(0, this.#renewalDueAt() - this.#options.clock.now()));
    this.#renewalTimer = setTimeout(() => this.#renewIfDue(), wait).unref();
  }

  #renewalDueAt(): Instant {
    const { notBefore, notAfter } = parseCertificate(this.#identity.chain[0]!);
    const current = { notBefore, notAfter, renewalEpoch: this.#identity.renewalEpoch };
    return Math.max(this.#retryRenewalAt, renewalDueAt(current, this.#cadence, this.#cadenceHeardAt, this.#share));
  }

  #renewIfDue(): void {
    if (this.#options.clock.now() < this.#renewalDueAt()) return this.#scheduleRenewal();
    // Without a connection there is nothing to ask; the next connection schedules again.
    if (this.#session === null) return;
    this.renew().catch((error: unknown) => {
      this.#retryRenewalAt = this.#options.clock.now() + backoffMs(this.#renewalFailures++, this.#options.random(), RENEWAL_RETRY);
      this.#options.log('warn', 'link.renewal-failed', { error });
      this.#scheduleRenewal();
    });
  }

  async #renew(): Promise<void> {
    const { clock, state, handlers, log } = this.#options;
    const connection = this.connection();
    const renewalEpoch = this.#cadence?.renewalEpoch ?? this.#identity.renewalEpoch;
    const privateKey = await makePrivateKey();
    const csr = buildCertificateRequest({ uris: [this.#identity.spiffeId], dnsNames: [], ipAddresses: [] }, privateKey);
    const { chain } = await connection.call(
      EnrollmentService.method.renew,
      create(RenewRequestSchema, { csr, renewalEpoch: renewalEpoch ?? 0n }),
    );
    const leaf = acceptChain(clock.now(), { chain, roots: this.#trust.roots(), spiffeId: this.#identity.spiffeId, privateKey });
    await this.#inOrder('identity', async () => {
      const identity: StoredIdentity = { ...this.#identity, privateKey, chain, renewalEpoch };
      await state.writeIdentity(identity);
      this.#identity = identity;
      await handlers.onIdentity(identity);
    });
    this.#renewalFailures = 0;
    this.#retryRenewalAt = 0;
    log('info', 'link.certificate-renewed', { serial: leaf.serialHex, notAfter: leaf.notAfter });
    await this.#replaceSession();
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

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

const RECONNECT = { firstMs: 100, mostMs: 5_000 };
const RENEWAL_RETRY = { firstMs: 500, mostMs: 60_000 };
const MAXIMUM_TIMER_MS = 30_000;
