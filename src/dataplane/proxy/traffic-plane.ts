import type {
  OcspStaple,
  ProxySettings,
  RevokedSet,
  TicketKeys,
  TrustBundle,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Acknowledgement } from '../link/link-handlers.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';

/**
 * What carries a proxy's traffic, in this process or in several: it is told what to run, and says when it does. What it accepted is in
 * force everywhere, what it refused nowhere; a revocation waits for no other change.
 */
export type TrafficPlane = {
  readonly telemetryIntervalMs: number;
  /** `isLastGood` settings of before a restart are run even if the handshake with ourselves fails by now. */
  applySettings(wire: ProxySettings, options?: { readonly isLastGood?: boolean }): Promise<Acknowledgement>;
  applyTrustBundle(bundle: TrustBundle): Promise<Acknowledgement>;
  /** Of other trust domains, all that there are. */
  applyFederatedBundles(bundles: readonly TrustBundle[]): Promise<Acknowledgement>;
  applyTicketKeys(keys: TicketKeys): Promise<Acknowledgement>;
  applyStaple(staple: OcspStaple): Promise<Acknowledgement>;
  applyRevokedSet(set: RevokedSet): Acknowledgement | Promise<Acknowledgement>;
  /** @throws state-conflict if it cannot be served; the old one stays */
  applyIdentity(identity: StoredIdentity): Promise<void>;
  /** The operator's own anchors for servers on mutual TLS, or null for the delivered bundle. */
  applyServerAnchors(anchors: readonly Certificate[] | null): Promise<void>;
  /** What is held for third parties, each for one. */
  applyClientCertificates(held: readonly ClientCertificate[]): Promise<void>;
  /** What was measured since the last report. */
  takeReport(): TelemetryContent | Promise<TelemetryContent>;
  /** Accepts nothing more, lets open connections end with their next answer, and cuts what is left after this time. */
  stop(withinMs: number): Promise<void>;
};
