import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';

/** A data plane as the control plane knows it: everything here comes from its certificate's record, nothing from its claims. */
export type Node = {
  readonly proxyId: EntityId<'proxy'>;
  readonly spiffeId: SpiffeId;
  readonly environment: string;
  readonly region: string;
  /** The identity that fires drills; it has methods and resources that others lack. */
  readonly isProbe: boolean;
  /** SHA-256 of the issuer's SubjectPublicKeyInfo, lower case hex; with the serial it names the certificate. */
  readonly issuerKeySha256: string;
  /** Content octets of the serial number, lower case hex. */
  readonly serialHex: string;
  /** Its connections end then: the certificate's notAfter, or the end of the grace in which it may still be renewed. */
  readonly staysUntil: Instant;
};

/** Whoever holds a certificate of ours in service, a data plane or not; known in the same way. */
export type Identity = Omit<Node, 'proxyId'> & { readonly proxyId: Node['proxyId'] | null };

/** What stands at the other end of one TLS connection. */
export type Peer =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'node'; readonly node: Node }
  /** An identity of ours that is no data plane. It gets secrets, and nothing else. */
  | { readonly kind: 'workload'; readonly identity: Identity }
  /** Its certificate has ended, by no more than the grace of its profile: it may renew that, and nothing else. */
  | { readonly kind: 'lapsed'; readonly node: Node }
  | { readonly kind: 'refused'; readonly reason: ViolationReason; readonly detail: string };

/** Why a call or a connection is refused. A closed set: it is the word in the log and the label of the counter. */
export const violationReasons = {
  'certificate-required': 'a method that needs a node was called on a connection without a certificate',
  'certificate-invalid': 'the certificate does not verify against the current trust bundle',
  'certificate-expired': 'the certificate of the connection is past its notAfter, or past the grace of its profile',
  'certificate-unknown': 'the certificate verifies, but it belongs to no data plane',
  'foreign-path': 'telemetry for an endpoint that this node neither serves nor calls',
  'foreign-report': 'telemetry that only another kind of node may send',
  'foreign-resource': 'a resource that belongs to another node',
  'other-names': 'a certificate request for a name that is not the identity of the connection',
  'probe-only': 'a method or resource of the probe identity, asked for by another',
  revoked: 'the certificate is in the revoked set',
  suspended: 'the identity is suspended',
} as const;

export type ViolationReason = keyof typeof violationReasons;
