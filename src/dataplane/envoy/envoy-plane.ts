import { create } from '@bufbuild/protobuf';
import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import {
  BundleAuthority_Role,
  type OcspStaple,
  type ProxySettings,
  type RevokedSet,
  RevokedSetSchema,
  type TicketKeys as WireTicketKeys,
  type TrustBundle,
  TrustBundleSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { StreamAccessLogsMessage } from '../../core/messages/generated/envoy/service/accesslog/v3/als_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import { ACCEPTED, type Acknowledgement } from '../link/link-handlers.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import type { TrafficPlane } from '../proxy/traffic-plane.ts';
import { FederatedTrust } from '../tls/federated-trust.ts';
import { KeptVerdicts } from '../tls/kept-verdicts.ts';
import { type ProxyPorts, parseProxySettings } from '../tls/proxy-settings.ts';
import { requirePlane } from '../tls/require-plane.ts';
import { emptyRevokedIndex, indexRevokedSet } from '../tls/revoked-index.ts';
import { makeTicketKeys, parseTicketKeys } from '../tls/ticket-keys.ts';
import { foreignAnchorsOf, parseTrust, type Trust, trustOf } from '../tls/trust.ts';
import { AccessLog } from './access-log.ts';
import type { AdminClient } from './admin-client.ts';
import { ConfigWatch } from './await-config.ts';
import { ConfigKeeper, type EnvoyLimits } from './config-keeper.ts';
import { putControlPlane, putTicketKeys } from './companion-secrets.ts';
import { EnvoyReports } from './envoy-reports.ts';
import { GenerationHistory } from './generation-history.ts';
import type { HeldSecrets } from './held-secrets.ts';
import { IdentityKeeper } from './identity-keeper.ts';
import { orRefuse } from './or-refuse.ts';
import { OwnEnds } from './own-ends.ts';
import { requireRunnable } from './require-runnable.ts';
import { ServedByEnvoy } from './served-by-envoy.ts';

export type EnvoyPlaneOptions = {
  readonly identity: StoredIdentity;
  readonly secrets: HeldSecrets;
  readonly admin: AdminClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: EnvoyLimits;
};

/**
 * A proxy whose traffic an Envoy carries. Envoy has its resources from the control plane; this has what holds private keys, and the control
 * plane's own word on what is to run: it says of each generation whether Envoy really runs it, and what came of it.
 */
export class EnvoyPlane implements TrafficPlane {
  /** Asked when what was refused is in force after all: it is not sent again by itself. */
  onAskAgain: () => void = () => {};
  readonly #options: EnvoyPlaneOptions;
  readonly #config: ConfigKeeper;
  readonly #reports: EnvoyReports;
  readonly #ends = new OwnEnds();
  readonly #served: ServedByEnvoy;
  readonly #accessLog: AccessLog;
  readonly #generations: GenerationHistory;
  readonly #identity: IdentityKeeper;
  readonly #federated = new FederatedTrust();
  #trust: Trust;
  #index = emptyRevokedIndex;
  /** What access logs are judged by. */
  #ports: ProxyPorts | null = null;
  #isStopping = false;

  /** @throws der-malformed, input-invalid if the identity has no certificate or no root */
  constructor(options: EnvoyPlaneOptions) {
    const { identity, admin, clock, log, secrets } = options;
    this.#options = options;
    this.#generations = new GenerationHistory(clock);
    this.#identity = new IdentityKeeper(identity, options);
    const trustDomain = trustDomainOf(identity.spiffeId);
    this.#trust = trustOf(
      trustDomain,
      identity.roots.map((der) => parseCertificate(der)),
      [],
    );
    const authorities = identity.roots.map((certificate) => ({ role: BundleAuthority_Role.ROOT, certificate }));
    this.#config = new ConfigKeeper({
      watch: new ConfigWatch(admin),
      limits: options.limits ?? defaultLimits,
      log,
      bundle: create(TrustBundleSchema, { trustDomain, authorities }),
      revoked: create(RevokedSetSchema),
      onTrueAfterAll: () => void this.#isTrueAfterAll(),
    });
    this.#reports = new EnvoyReports({
      ...options,
      settings: () => this.#ports,
      widthMs: () => this.telemetryIntervalMs,
      generation: () => this.#generations.current,
    });
    this.#accessLog = new AccessLog({
      settings: () => this.#ports,
      revoked: () => this.#index,
      peers: { kept: new KeptVerdicts(), trust: () => this.#trust, leaves: new Map() },
      generationAt: (at) => this.#generations.at(at),
      own: this.#ends,
      ledger: this.#reports.ledger,
      countersAt: (at) => this.#reports.at(at),
      clock,
      log,
    });
    this.#served = new ServedByEnvoy({ ends: this.#ends, clock, log });
    putTicketKeys(secrets, makeTicketKeys());
    putControlPlane(secrets, this.#trust, identity.controlPlane);
  }

  get telemetryIntervalMs(): number {
    return this.#ports?.telemetryIntervalMs ?? DEFAULT_TELEMETRY_MS;
  }

  /** What Envoy logged. */
  takeAccessLogs(message: StreamAccessLogsMessage): void {
    this.#accessLog.take(message);
  }

  /** The last connection of Envoy to us has ended: it is gone, or will be another one. */
  envoyWentAway(): void {
    this.#accessLog.clear();
    this.#reports.ledger.envoyWentAway();
    this.#generations.envoyWentAway();
    this.#options.log('warn', 'envoy has gone', {});
    this.#config.envoyWentAway();
  }

  /**
   * Accepted once Envoy runs all of it, by its own word, and a handshake with each port that needs TLS has succeeded. Of before a restart they
   * are what access logs are judged by; whether Envoy still runs them is found out with the next delivery.
   */
  applySettings(wire: ProxySettings, { isLastGood = false } = {}): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      requirePlane(wire, 'envoy');
      const ports = parseProxySettings(wire);
      const { spiffeId } = this.#identity.credential;
      if (ports.spiffeId !== spiffeId) throw new Problem('input-invalid', `Cannot use settings: they are for ${ports.spiffeId}`);
      requireRunnable(wire);
      // Access logs of what is about to serve come before Envoy has all of it.
      this.#ports = ports;
      this.#judgeUnder(this.#trust);
      if (isLastGood) return ACCEPTED;
      this.#config.settings = wire;
      const answer = await this.#config.taken();
      if (answer.kind === 'refused') return answer;
      await this.#served.require(ports.inbound, this.#own);
      this.#generations.begin(wire.generation);
      this.#options.log('info', 'settings in force', { generation: wire.generation.toString(), inbound: ports.inbound.length });
      return ACCEPTED;
    });
  }

  applyTrustBundle(bundle: TrustBundle): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      const { identity, secrets, log } = this.#options;
      const trust = parseTrust(bundle);
      if (trust.trustDomain !== trustDomainOf(identity.spiffeId))
        throw new Problem('input-invalid', `Cannot use trust bundle of ${trust.trustDomain}`);
      this.#config.bundle = bundle;
      this.#judgeUnder(trust);
      putControlPlane(secrets, trust, identity.controlPlane);
      const answer = await this.#inForceAnyhow();
      if (answer.kind === 'accepted') log('info', 'trust bundle in force', { sequence: bundle.sequence.toString(), digest: trust.digest });
      return answer;
    });
  }

  /** All that there are; one that is missing is taken back. */
  applyFederatedBundles(bundles: readonly TrustBundle[]): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      this.#federated.take(bundles, this.#trust.home);
      this.#config.federated = bundles;
      this.#judgeUnder(this.#trust);
      return this.#inForceAnyhow();
    });
  }

  /** In Envoy's hands when this resolves; a revocation waits for no other change. */
  applyRevokedSet(set: RevokedSet): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      this.#config.revoked = set;
      this.#judgeUnder(this.#trust);
      this.#identity.heardRevoked(this.#index);
      const answer = await this.#inForceAnyhow();
      if (answer.kind === 'accepted') {
        const { certificates, suspended, sequence } = this.#index;
        const facts = { sequence: sequence.toString(), certificates: certificates.size, suspended: suspended.size };
        this.#options.log('info', 'revoked set in force', facts);
      }
      return answer;
    });
  }

  applyTicketKeys(wire: WireTicketKeys): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      if (wire.spiffeId !== this.#identity.credential.spiffeId)
        throw new Problem('input-invalid', `Cannot use ticket keys: they are for ${JSON.stringify(wire.spiffeId)}`);
      putTicketKeys(this.#options.secrets, parseTicketKeys(wire));
      return ACCEPTED;
    });
  }

  applyStaple({ response }: OcspStaple): Promise<Acknowledgement> {
    return orRefuse(this.#options.log, async () => {
      const until = this.#identity.takeStaple(response);
      this.#options.log('info', 'staple in force', { until });
      return ACCEPTED;
    });
  }

  /** Resolves when Envoy serves it, where it serves TLS at all. @throws state-conflict if it refuses it, or does not serve it in time */
  async applyIdentity(identity: StoredIdentity): Promise<void> {
    await this.#identity.replace(identity, async (signal) => {
      // An Envoy that is away serves nothing, and gets this one when it comes.
      if (await this.#config.isAbsent()) return;
      await this.#served.untilServed(this.#ports?.inbound ?? [], {
        ...this.#own,
        withinMs: (this.#options.limits ?? defaultLimits).takenWithinMs,
        signal,
      });
    });
    const { serialHex, notAfter } = this.#identity.credential.leaf;
    this.#options.log('info', 'certificate in force', { serial: serialHex, notAfter });
  }

  /** Servers of the fleet are held to the delivered bundle by Envoy; there is no other way. @throws input-invalid */
  async applyServerAnchors(anchors: readonly Certificate[] | null): Promise<void> {
    if (anchors !== null)
      throw new Problem('input-invalid', 'Cannot use own anchors for servers: an Envoy takes those of the trust bundle');
  }

  /** @throws input-invalid if there are any */
  async applyClientCertificates(held: readonly ClientCertificate[]): Promise<void> {
    if (held.length > 0)
      throw new Problem('input-invalid', 'Cannot use certificates for third parties: an Envoy shows the proxy’s own alone');
  }

  /** Of a window that is over, once everything is here that Envoy logged of it, or is known to be lost. */
  async takeReport(): Promise<TelemetryContent> {
    const { open, ...window } = await this.#reports.take(this.#accessLog.book, this.#isStopping);
    return {
      ...window,
      open: open ?? [],
      // An Envoy that does not answer runs nothing that anybody could vouch for.
      served: open === null ? [] : this.#served.list(),
      revokedSequence: this.#config.revoked.sequence,
      generation: open === null ? 0n : this.#generations.current,
    };
  }

  /** Envoy is somebody else's to end, and serves on. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#config.stop();
  }

  /** Whom access logs are judged by: our own authorities, and those of other domains that the settings name. */
  #judgeUnder(own: Trust): void {
    this.#trust = this.#federated.under(own, this.#ports);
    this.#index = indexRevokedSet(this.#config.revoked, foreignAnchorsOf(this.#trust));
  }

  get #own() {
    return { credential: this.#identity.credential, trust: this.#trust };
  }

  /** Without settings in force there is nothing of Envoy's to wait for. */
  async #inForceAnyhow(): Promise<Acknowledgement> {
    return this.#generations.current === 0n ? ACCEPTED : this.#config.taken({ unlessAbsent: true });
  }

  /** Of settings that were acknowledged before, an Envoy came back to them; others are asked for again, and acknowledged then. */
  async #isTrueAfterAll(): Promise<void> {
    const generation = this.#config.settings?.generation ?? 0n;
    if (this.#generations.latest !== generation) {
      this.onAskAgain();
      return;
    }
    await this.#served.require(this.#ports?.inbound ?? [], this.#own).catch((error: unknown) => {
      this.#options.log('warn', 'own certificate cannot be served', { error });
    });
    this.#generations.begin(generation);
    this.#options.log('info', 'envoy runs its settings again', { generation: generation.toString() });
  }
}

const DEFAULT_TELEMETRY_MS = 1_000;
const defaultLimits: EnvoyLimits = {
  // Below the minute after which the control plane takes an unanswered push for a broken stream.
  takenWithinMs: 15_000,
  lookAgainMs: 500,
};
