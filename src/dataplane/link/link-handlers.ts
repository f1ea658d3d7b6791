import type {
  DrillJob,
  OcspStaple,
  ProxySettings,
  RevokedSet,
  TicketKeys,
  TrustBundle,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';

/** Whether a resource is in force now. A refused one is not sent again until its content changes. */
export type Acknowledgement = { readonly kind: 'accepted' } | { readonly kind: 'refused'; readonly reason: string };

/**
 * What a data plane does with what it is told. Calls of one handler never overlap; different handlers may, so that slow settings
 * hold up no revocation. The first of each come one after another: trust bundle, revoked set, ticket keys, settings, staple, drill jobs. The answer goes to the control plane as acknowledge or refuse; a throw is a refusal.
 * What was accepted is in the state directory before the acknowledgement leaves, unless the disk refuses it (then it is tried again).
 */
export type LinkHandlers = {
  onTrustBundle(bundle: TrustBundle): Promise<Acknowledgement>;
  /** For who trusts identities of other trust domains: their bundles, all that there are after each change. */
  onFederatedBundles?(bundles: readonly TrustBundle[]): Promise<Acknowledgement>;
  onRevokedSet(set: RevokedSet): Promise<Acknowledgement>;
  onSettings(settings: ProxySettings): Promise<Acknowledgement>;
  /** For who serves. They are kept in memory only: after a restart they are delivered again. */
  onTicketKeys?(keys: TicketKeys): Promise<Acknowledgement>;
  /** For whose certificate names a responder of OCSP. */
  onStaple?(staple: OcspStaple): Promise<Acknowledgement>;
  /** For the probe identity; others are never sent one. */
  onDrillJob?(job: DrillJob): Promise<Acknowledgement>;
  /** A renewed key and chain, already in the state directory: serve it from now on, without dropping a connection. */
  onIdentity(identity: StoredIdentity): Promise<void>;
  onStatus?(status: LinkStatus): void;
};

/** Where the link stands. `offline` says the code of the last problem; the link goes on trying. */
export type LinkStatus =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected'; readonly since: Instant }
  | { readonly kind: 'offline'; readonly since: Instant; readonly problem: string; readonly detail: string }
  | { readonly kind: 'closed' };

export const ACCEPTED: Acknowledgement = { kind: 'accepted' };
