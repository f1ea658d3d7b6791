import type { RevokedSet } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { ProvedIdentity } from './peer.ts';

/** Whom nothing lets in any more, for look-ups in O(1). It is replaced as a whole. */
export type RevokedIndex = {
  readonly sequence: bigint;
  readonly certificates: ReadonlySet<string>;
  readonly suspended: ReadonlySet<string>;
  /** The authorities of other trust domains that are in force; whom another one vouched for is not vouched for any more. */
  readonly foreignAnchors: ReadonlySet<string>;
};

export const emptyRevokedIndex: RevokedIndex = { sequence: 0n, certificates: new Set(), suspended: new Set(), foreignAnchors: new Set() };

export function indexRevokedSet(
  { sequence, certificates, suspendedSpiffeIds }: RevokedSet,
  foreignAnchors: ReadonlySet<string>,
): RevokedIndex {
  return {
    sequence,
    certificates: new Set(certificates.map(({ issuerKeySha256, serial }) => revocationKey(hexOf(issuerKeySha256), hexOf(serial)))),
    suspended: new Set(suspendedSpiffeIds),
    foreignAnchors,
  };
}

/** (SHA-256 of the issuer's SubjectPublicKeyInfo, serial content octets), both lower case hex. */
export function revocationKey(issuerKeySha256: string, serialHex: string): string {
  return `${issuerKeySha256} ${serialHex}`;
}

/** Why the identity may not act any more, or null. */
export function findRevocation(
  index: RevokedIndex,
  identity: ProvedIdentity,
): Extract<RefusalReason, 'revoked' | 'suspended' | 'unknown-authority'> | null {
  for (const key of identity.revocationKeys) if (index.certificates.has(key)) return 'revoked';
  if (index.suspended.has(identity.spiffeId)) return 'suspended';
  return identity.foreignAnchor === null || index.foreignAnchors.has(identity.foreignAnchor) ? null : 'unknown-authority';
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('hex');
}
