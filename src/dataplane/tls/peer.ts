import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

export type Channel = 'plaintext' | 'tls' | 'mtls';

/** Which certificate it was, for the log and for telemetry: (SHA-256 of the issuer's key, serial content octets). */
export type CertificateName = { readonly issuerKeySha256: Uint8Array; readonly serial: Uint8Array };

/** An identity that a verified path and the handshake's signature prove. */
export type ProvedIdentity = {
  readonly spiffeId: SpiffeId;
  readonly certificate: CertificateName;
  /** Keys into the revoked set: the leaf and every CA of its path below the anchor. */
  readonly revocationKeys: readonly string[];
  /** Of another trust domain than ours the authority that vouches for it, by `foreignAnchorKey`; null: it is of our own. */
  readonly foreignAnchor: string | null;
  /** The earliest notAfter of the path. */
  readonly validUntil: Instant;
  /** DER of the leaf and of the rest of the path without the anchor. */
  readonly path: readonly Uint8Array[];
};

/** What one connection showed of its other end. It does not change; what is allowed does. */
export type Peer = {
  readonly channel: Channel;
  readonly identity: ProvedIdentity | null;
  /** Why enforcement would refuse this peer whoever is allowed; null only where an identity is proved. */
  readonly offence: RefusalReason | null;
  /** The certificate shown, proved or not. */
  readonly certificate: CertificateName | null;
  readonly resumed: boolean;
};

export const plaintextPeer: Peer = { channel: 'plaintext', identity: null, offence: 'plaintext', certificate: null, resumed: false };

/** The SPIFFE ID for telemetry; empty where nothing is proved. */
export function callerOf(peer: Peer): string {
  return peer.identity?.spiffeId ?? '';
}
