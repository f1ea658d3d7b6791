import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type {
  OcspStaple,
  ProxySettings,
  RevokedSet,
  TicketKeys as WireTicketKeys,
  TrustBundle,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import { ACCEPTED, type Acknowledgement } from '../link/link-handlers.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import { ChangeQueue } from './change-queue.ts';
import { CertificateStatuses } from './certificate-statuses.ts';
import { ConnectionTable } from './connection-table.ts';
import { Counters } from './counters.ts';
import { type ServedAlpn, servedAlpn } from './alpn.ts';
import { type Credential, openCredential } from './credential.ts';
import { Elsewhere, type SharedUse, takeUse } from './shared-use.ts';
import { FederatedTrust } from './federated-trust.ts';
import { HeldStaple } from './held-staple.ts';
import { KeptVerdicts } from './kept-verdicts.ts';
import type { LiveState } from './live-state.ts';
import type { PlaneOptions, PlanePorts } from './plane-options.ts';
import type { ParsedSettings } from './proxy-settings.ts';
import { emptyRevokedIndex, indexRevokedSet } from './revoked-index.ts';
import { SeenKeys, type SeenKeysOptions } from './seen-keys.ts';
import { shakeOwnHand } from './self-handshake.ts';
import { ServedCertificates } from './served-certificates.ts';
import { makeTicketKeys, parseTicketKeys } from './ticket-keys.ts';
import { kindsOf, makeTerminators } from './terminator-kinds.ts';
import { TlsContexts } from './tls-contexts.ts';
import { besides, foreignAnchorsOf, parseTrust, type Trust, trustOf } from './trust.ts';
import { tryHandshakes } from './try-handshakes.ts';

/**
 * A data plane itself, without a control plane: it is told what to run and says when it does. Changes come one after another;
 * a revocation waits for none of them. A proxy has listening sockets for ports, a service in whose process it runs its own.
 */
export class Plane<Settings extends ParsedSettings = ParsedSettings> {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #live: LiveState;
  readonly #kept = new KeptVerdicts();
  readonly #table = new ConnectionTable();
  readonly #counters = new Counters();
  readonly #elsewhere = new Elsewhere();
  readonly #served = new ServedCertificates();
  readonly #alpn: ServedAlpn;
  readonly #parse: (wire: ProxySettings) => Settings;
  readonly #ports: PlanePorts<Settings>;
  readonly #staple: HeldStaple;
  readonly #federated = new FederatedTrust();
  readonly #seenKeys: SeenKeys;
  /** Our own until the control plane delivers those that all data planes of our identity share. */
  #ticketKeys = makeTicketKeys();
  #settings: Settings | null = null;
  /** The operator's own anchors for servers, in place of the delivered bundle. */
  #serverAnchors: readonly Certificate[] | null = null;
  readonly #changes: ChangeQueue;
  #windowStart: Instant;

  /** @throws der-malformed, input-invalid if the identity has no certificate or no root */
  constructor({ identity, clock, log, limits, alpn = servedAlpn, seen = nothingSeen, parse, makePorts }: PlaneOptions<Settings>) {
    this.#alpn = alpn;
    this.#parse = parse;
    this.#clock = clock;
    this.#log = log;
    this.#changes = new ChangeQueue(log);
    this.#staple = new HeldStaple(log);
    this.#windowStart = clock.now();
    const roots = identity.roots.map((der) => parseCertificate(der));
    const trust = trustOf(trustDomainOf(identity.spiffeId), roots, []);
    const contexts = this.#makeContexts(openCredential(identity), trust);
    this.#live = { generation: 0n, revoked: emptyRevokedIndex, contexts, spiffeId: identity.spiffeId, clientCertificates: new Map() };
    this.#seenKeys = new SeenKeys(seen);
    this.#ports = makePorts({
      live: this.#live,
      kept: this.#kept,
      table: this.#table,
      counters: this.#counters,
      elsewhere: this.#elsewhere,
      seenKeys: this.#seenKeys,
      statuses: new CertificateStatuses(clock),
      clock,
      log,
      limits,
    });
  }

  get telemetryIntervalMs(): number {
    return this.#settings?.telemetryIntervalMs ?? DEFAULT_TELEMETRY_MS;
  }

  /**
   * Accepted once everything in it is in force: every port listens, and, where TLS is spoken, a handshake with our own certificate has
   * succeeded. Refused, nothing of it is. `isLastGood` settings of before a restart are run even if the handshake fails by now.
   */
  applySettings(wire: ProxySettings, { isLastGood = false } = {}): Promise<Acknowledgement> {
    return this.#changes.change(async () => {
      const settings = this.#parse(wire);
      if (settings.spiffeId !== this.#live.spiffeId)
        throw new Problem('input-invalid', `Cannot use settings: they are for ${settings.spiffeId}`);
      const trust = this.#federated.under(this.#live.contexts.trust, settings);
      const contexts = this.#contextsUnder(trust);
      for (const kind of kindsOf(settings.inbound)) makeTerminators(contexts, kind);
      // What ran before a restart does so again, whatever third parties were seen to have meanwhile.
      if (!isLastGood) this.#seenKeys.judgeNews(this.#clock.now(), settings, this.#settings);
      if (!isLastGood) await tryHandshakes(this.#clock.now(), contexts, settings.inbound);
      const isOtherTrust = contexts !== this.#live.contexts;
      await this.#ports.apply(settings, this.#serverTrust(trust), () => {
        this.#settings = settings;
        this.#live.generation = settings.generation;
        this.#setContexts(contexts);
      });
      if (isOtherTrust) this.#table.rejudgeAll('trust');
      this.#table.rejudgeAll('settings');
      await this.#lookAtServed();
      this.#log('info', 'settings in force', {
        generation: settings.generation.toString(),
        inbound: settings.inbound.length,
        outbound: settings.outbound.length,
      });
      return ACCEPTED;
    });
  }

  applyTrustBundle(bundle: TrustBundle): Promise<Acknowledgement> {
    return this.#changes.change(async () => {
      const trust = parseTrust(bundle);
      if (trust.trustDomain !== trustDomainOf(this.#live.spiffeId))
        throw new Problem('input-invalid', `Cannot use trust bundle of ${trust.trustDomain}`);
      if (trust.digest === this.#live.contexts.trust.ownDigest) return ACCEPTED;
      await this.#useTrust(this.#federated.under(trust, this.#settings));
      this.#log('info', 'trust bundle in force', { sequence: bundle.sequence.toString(), digest: trust.digest });
      return ACCEPTED;
    });
  }

  /**
   * The bundles of other trust domains, all that there are: one that is missing is taken back. Whom an authority vouched for that is gone is refused
   * from the next call on.
   */
  applyFederatedBundles(bundles: readonly TrustBundle[]): Promise<Acknowledgement> {
    return this.#changes.change(async () => {
      this.#federated.take(bundles, trustDomainOf(this.#live.spiffeId));
      const trust = this.#federated.under(this.#live.contexts.trust, this.#settings);
      if (trust.digest === this.#live.contexts.trust.digest) return ACCEPTED;
      await this.#useTrust(trust);
      this.#log('info', 'bundles of other trust domains in force', { trustDomains: [...trust.federated.keys()] });
      return ACCEPTED;
    });
  }

  /** Sessions resume under these keys from now on, at every data plane of our identity. Who opened a session under others shakes hands anew. */
  applyTicketKeys(wire: WireTicketKeys): Promise<Acknowledgement> {
    return this.#changes.change(async () => {
      if (wire.spiffeId !== this.#live.spiffeId)
        throw new Problem('input-invalid', `Cannot use ticket keys: they are for ${JSON.stringify(wire.spiffeId)}`);
      this.#ticketKeys = parseTicketKeys(wire);
      const { credential, trust } = this.#live.contexts;
      this.#live.contexts = this.#makeContexts(credential, trust);
      this.#log('info', 'ticket keys in force', { accepted: this.#ticketKeys.accepted.length });
      return ACCEPTED;
    });
  }

  /** Stapled from now on to handshakes with our certificate, and with no other. */
  applyStaple({ response }: OcspStaple): Promise<Acknowledgement> {
    return this.#changes.change(async () => {
      const until = this.#staple.take(this.#clock.now(), response, this.#live.contexts.credential);
      this.#log('info', 'staple in force', { until });
      return ACCEPTED;
    });
  }

  /** In force when this returns: it is looked up by every connection and call, and open connections are gone through at once. */
  applyRevokedSet(set: RevokedSet): Acknowledgement {
    this.#live.revoked = indexRevokedSet(set, this.#live.revoked.foreignAnchors);
    this.#table.rejudgeRevoked(this.#live.revoked);
    this.#log('info', 'revoked set in force', {
      sequence: set.sequence.toString(),
      certificates: set.certificates.length,
      suspended: set.suspendedSpiffeIds.length,
    });
    return ACCEPTED;
  }

  /** Serves and shows a renewed certificate from now on. Open connections live on. @throws state-conflict if it cannot be served; the old one stays */
  async applyIdentity(identity: Pick<StoredIdentity, 'spiffeId' | 'chain' | 'privateKey'>): Promise<void> {
    await this.#changes.inOrder(async () => {
      const contexts = this.#makeContexts(openCredential(identity), this.#live.contexts.trust);
      await tryHandshakes(this.#clock.now(), contexts, this.#settings?.inbound ?? []);
      this.#live.contexts = contexts;
      this.#ports.renewWays(this.#serverTrust());
      await this.#lookAtServed();
      this.#log('info', 'certificate in force', {
        serial: contexts.credential.leaf.serialHex,
        notAfter: contexts.credential.leaf.notAfter,
      });
    });
  }

  /** The operator's own anchors for servers on mutual TLS, or null for the delivered bundle. */
  async applyServerAnchors(anchors: readonly Certificate[] | null): Promise<void> {
    await this.#changes.inOrder(async () => {
      this.#serverAnchors = anchors;
      this.#ports.renewWays(this.#serverTrust());
    });
  }

  /** What is held for third parties from now on; ways to those whose certificate is another are made anew. */
  async applyClientCertificates(held: readonly ClientCertificate[]): Promise<void> {
    await this.#changes.inOrder(async () => {
      this.#live.clientCertificates = new Map(held.map((one) => [one.serverName, one]));
      this.#ports.renewWays(this.#serverTrust());
    });
  }

  /** What was measured since the last report. */
  takeReport(): TelemetryContent {
    const windowStartMs = BigInt(this.#windowStart);
    this.#windowStart = this.#clock.now();
    return {
      windowStartMs,
      windowEndMs: BigInt(this.#windowStart),
      ...this.#counters.take(),
      open: this.#table.openCounts(),
      served: this.#served.list(),
      revokedSequence: this.#live.revoked.sequence,
      generation: this.#live.generation,
    };
  }

  /** What other processes of the same proxy have to know of its limits. */
  takeUse(): SharedUse {
    return takeUse(this.#settings?.inbound ?? [], this.#table);
  }

  hearUse(use: SharedUse): void {
    this.#elsewhere.hear(use, this.#settings?.inbound ?? []);
  }

  /** Accepts nothing more, lets open connections end with their next answer, and cuts what is left after this time. */
  async stop(withinMs: number): Promise<void> {
    await this.#changes.inOrder(() => this.#ports.retireAll(withinMs));
  }

  #makeContexts(credential: Credential, trust: Trust): TlsContexts {
    const staple = (): Buffer | null => this.#staple.octetsFor(credential, { now: this.#clock.now(), revoked: this.#live.revoked });
    return new TlsContexts({ credential, trust, ticketKeys: this.#ticketKeys, alpn: this.#alpn, staple });
  }

  #serverTrust(trust = this.#live.contexts.trust): Trust {
    if (this.#serverAnchors === null) return trust;
    return besides(trustOf(trust.trustDomain, this.#serverAnchors, []), [...trust.federated.values()]);
  }

  #contextsUnder(trust: Trust): TlsContexts {
    const { contexts } = this.#live;
    return trust.digest === contexts.trust.digest ? contexts : this.#makeContexts(contexts.credential, trust);
  }

  #setContexts(contexts: TlsContexts): void {
    this.#live.contexts = contexts;
    this.#live.revoked = { ...this.#live.revoked, foreignAnchors: foreignAnchorsOf(contexts.trust) };
  }

  async #useTrust(trust: Trust): Promise<void> {
    this.#setContexts(this.#contextsUnder(trust));
    this.#ports.renewWays(this.#serverTrust());
    this.#table.rejudgeAll('trust');
    await this.#lookAtServed();
  }

  /** Sees by a handshake with what is in force which certificate each endpoint serves. */
  async #lookAtServed(): Promise<void> {
    const inbound = this.#settings?.inbound ?? [];
    this.#served.keep(inbound.map(({ endpointId }) => endpointId));
    for (const kind of kindsOf(inbound)) {
      const endpointIds = kind.ports.map(({ endpointId }) => endpointId);
      try {
        this.#served.saw(endpointIds, await shakeOwnHand(this.#clock.now(), this.#live.contexts, kind));
      } catch (error) {
        this.#log('warn', 'own certificate cannot be served', { endpointIds, error });
      }
    }
  }
}

const nothingSeen: SeenKeysOptions = { known: new Map(), onNews() {} };
const DEFAULT_TELEMETRY_MS = 1_000;
